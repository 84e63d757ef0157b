// Scores of classes.

/** The best classes as [label, score], high to low. An object puts keys like "7" first whatever was sent. */
export function best(labels, count) {
  return Object.entries(labels)
    .sort(([, one], [, other]) => other - one)
    .slice(0, count);
}
