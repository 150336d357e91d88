#!/bin/sh
# box-boot.sh NAME HOME BASE CGROUPS: first process of a box, in new namespaces; becomes the box's init.
# HOME is the node's directory, BASE the shared root, CGROUPS a list of NAME=OPTIONS, one per v1 hierarchy to
# mount, or the word cgroup2.
set -eu
name=$1 home=$2 base=$3 cgroups=$4
root=$home/root
rm -rf "$home/work"/*
mount -t overlay overlay -o "lowerdir=$base,upperdir=$home/upper,workdir=$home/work" "$root"
mount -t proc proc "$root/proc"
mount --bind "$home/boot_id" "$root/proc/sys/kernel/random/boot_id"
# The kubelet sets these; they belong to the machine, so it gets plain files to write to.
for setting in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops \
        kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do
    file=$home/sysctl/$(echo "$setting" | tr / _)
    cat "/proc/sys/$setting" > "$file"
    mount --bind "$file" "$root/proc/sys/$setting"
done
mount -t sysfs sysfs "$root/sys"
if [ "$cgroups" = cgroup2 ]; then
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
    for controller in $(cat "$root/sys/fs/cgroup/cgroup.controllers"); do
        echo "+$controller" > "$root/sys/fs/cgroup/cgroup.subtree_control"
    done
else
    mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
    for cgroup in $cgroups; do
        mkdir "$root/sys/fs/cgroup/${cgroup%%=*}"
        mount -t cgroup -o "${cgroup#*=}" cgroup "$root/sys/fs/cgroup/${cgroup%%=*}"
    done
fi
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm" "$root/dev/mqueue"
for device in null zero full random urandom tty kmsg; do
    if [ -e "/dev/$device" ]; then
        : > "$root/dev/$device"
        mount --bind "/dev/$device" "$root/dev/$device"
    fi
done
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
: > "$root/dev/console"
mount -t tmpfs tmpfs "$root/dev/shm"
mount -t mqueue mqueue "$root/dev/mqueue"
mount --bind "$home/var" "$root/var"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mkdir "$root/run/lock"
echo 1 > "$root/proc/sys/net/ipv4/ip_forward"
hostname "$name"
cd "$root"
pivot_root . old
export PATH=/usr/bin:/usr/sbin:/bin:/sbin
hash -r
umount -l /old
mount --make-rshared /
exec env -i PATH="$PATH" HOME=/root CONSOLE=/dev/console /sbin/init
