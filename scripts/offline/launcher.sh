#!/bin/sh
# Runs ckpt-merge with the Node that lies beside it, from wherever it was unpacked; links to this file do as well.
self=$0
while [ -h "$self" ]; do
  link=$(readlink "$self")
  case $link in
    /*) self=$link ;;
    *) self=${self%/*}/$link ;;
  esac
done
case $self in
  */*) here=${self%/*} ;;
  *) here=. ;;
esac
exec "$here/../node/bin/node" "$here/../package/bin/merge.js" "$@"
