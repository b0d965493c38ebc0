#!/usr/bin/env bash
# Makes the folder on the shared volume that files are copied into; with "delete", removes it.
# FOLDER: below /srv/shared/wordcount/inputs or /srv/shared/spark/jars    OWNER: which copy it is for
set -euo pipefail

[[ $FOLDER == /srv/shared/wordcount/inputs/?* || $FOLDER == /srv/shared/spark/jars/?* ]] ||
  fail "$FOLDER is no folder for files that are brought"
case ${1:-create} in
  delete)
    # The folder follows from the content, and what was replaced goes last: by then it may have been made
    # anew, on another control plane, or since a text was chosen again after an update that failed.
    if [[ -e $FOLDER.owner && $(<"$FOLDER.owner") == "$OWNER" ]]; then
      rm -rf "$FOLDER" "$FOLDER.owner"
    else
      say "$FOLDER is for a newer copy by now: it stays"
    fi
    ;;
  *)
    install -d -m 2775 -o "$SUDO_UID" -g 185 "$FOLDER"
    put "$FOLDER.owner" <<<"$OWNER"
    ;;
esac
