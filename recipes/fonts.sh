#!/bin/sh
# Gather the fonts that the Vietnamese reader is trained with.
#
#   recipes/fonts.sh FOLDER
#
# Needs apt-get, dpkg-deb, npm and a Python with the `train` extra ($PYTHON, default python3).
# Leaves FOLDER/vi (files that write all of Vietnamese), FOLDER/latin (Latin-only handwriting) and
# FOLDER/fonts-licences.tsv (file, family, style, package, version, licence). Prints the licences by
# family; recipes/fonts-licences.tsv is what it printed for the bundled reader.
# Then: export NHAN_FONTS=FOLDER
set -eu
out=${1:?usage: recipes/fonts.sh FOLDER}
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
mkdir -p "$out/packages/debian" "$out/packages/npm"
out=$(cd "$out" && pwd)

for name in $(sed 's/#.*//' "$here/fonts-debian.txt"); do
  folder="$out/packages/debian/$name"
  [ -d "$folder" ] && continue
  (cd "$out/packages" && apt-get download -qq "$name") || { echo "skipped $name" >&2; continue; }
  dpkg-deb -x "$out/packages/$name"_*.deb "$folder"
  dpkg-deb -f "$out/packages/$name"_*.deb Version > "$folder/VERSION"
  rm -f "$out/packages/$name"_*.deb
done

for name in $(sed 's/#.*//' "$here/fonts-npm.txt"); do
  folder="$out/packages/npm/$name"
  [ -d "$folder" ] && continue
  archive=$(cd "$out/packages" && npm pack --silent "@fontsource/$name") || {
    echo "skipped @fontsource/$name" >&2
    continue
  }
  mkdir -p "$folder"
  tar -xzf "$out/packages/$archive" -C "$folder" --strip-components=1
  rm -f "$out/packages/$archive"
done

"$python" -m nhan.synth.fontmerge "$out"
