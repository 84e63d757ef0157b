// The list of answers, carried over to the page in the other language, or over a login.
//
// Pictures are too large for the browser's session storage, so they wait in its database, for as
// long as the next page needs to load, or its reader to log in.

const NAME = "nhan-carried";
const STORE = "lists";
// A list that no page came for: its tab was closed in between.
const STALE_MS = 15 * 60_000;

function opened() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** Do something with the store, and give what `work` asked it for once all is written. */
async function within(work) {
  const database = await opened();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction(STORE, "readwrite");
      const asked = work(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(asked?.result);
      transaction.onerror = () => reject(transaction.error);
    });
  } finally {
    database.close();
  }
}

/** Put a list down for the next page of this tab: whatever can be cloned, files too. */
export async function putDown(list, owner) {
  const key = crypto.getRandomValues(new Uint32Array(2)).join("-");
  await within((store) => store.put({ at: Date.now(), owner, list }, key));
  sessionStorage.setItem(NAME, key);
}

/** Take up the list that the page before put down; empty where it put none down, or for another. */
export async function takeUp(owner) {
  const key = sessionStorage.getItem(NAME);
  if (!key) return [];
  sessionStorage.removeItem(NAME);
  let found = [];
  await within((store) => {
    const cursor = store.openCursor();
    cursor.onsuccess = () => {
      const at = cursor.result;
      if (!at) return;
      if (at.key === key && at.value.owner === owner) found = at.value.list;
      if (at.key === key || at.value.at < Date.now() - STALE_MS) at.delete();
      at.continue();
    };
  });
  return found;
}
