#!/bin/sh
# import-images.sh ROOT STORE ARCHIVES: runs inside new mount, pid and network namespaces; STORE then holds all images.
# ROOT is the nodes' root file system; its containerd works on STORE as if that were its /var/lib/containerd.
set -eu
root=$1 store=$2 archives=$3
mount --make-rprivate /
work=$(mktemp -d)
mount -t tmpfs tmpfs "$work"
mkdir "$work/upper" "$work/work" "$work/root"
mount -t overlay overlay -o "lowerdir=$root,upperdir=$work/upper,workdir=$work/work" "$work/root"
mkdir -p "$work/root/var/lib/containerd" "$work/root/archives"
mount --bind "$store" "$work/root/var/lib/containerd"
mount --bind "$archives" "$work/root/archives"
mount -t tmpfs tmpfs "$work/root/run"
mount -t tmpfs tmpfs "$work/root/tmp"
mount -t proc proc "$work/root/proc"
mount --rbind /dev "$work/root/dev"
mount -t sysfs sysfs "$work/root/sys"
chroot "$work/root" /bin/sh -eu -c '
    containerd -c /etc/containerd/config.toml > /tmp/containerd.log 2>&1 &
    containerd=$!
    tries=0
    until ctr version > /dev/null 2>&1; do
        tries=$((tries + 1))
        if [ $tries -gt 300 ]; then tail -n 5 /tmp/containerd.log >&2; exit 1; fi
        sleep 0.1
    done
    for archive in /archives/*.tar; do ctr --namespace k8s.io images import "$archive"; done
    kill $containerd
    wait $containerd || true
' || { rmdir "$work" 2> /dev/null; exit 1; }
sync -f "$store"
umount -R "$work"
rmdir "$work"
