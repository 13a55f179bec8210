#!/usr/bin/env bash
# benchmarks/gpio_sim.py on GPIO lines of a real kernel, in a virtual machine that sees this one's files and cannot change them. Writes
# benchmarks/results/gpio_sim.json. On Debian, with qemu-system-x86, busybox-static, cpio, make, bc and gcc-12; Debian's kernel and its
# sources (220 MB) go to build/gpio_sim. That kernel comes without gpio-sim, so the module is built from those sources: gpio-sim.c, and
# irq_sim.c, in which one call of a function that modules cannot reach gives way to the one that does the same for them. Time is the virtual
# machine's own, 500 million instructions a second, so that nothing else on this machine makes a difference.
#
#     benchmarks/gpio_sim.sh [PYTHON]
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
python=${1:-$root/.venv/bin/python}
work=$root/build/gpio_sim
mkdir -p "$work/packages" "$work/out" "$work/init/bin" "$work/init/lib" "$work/init/proc" "$work/init/sys" "$work/init/dev" "$work/init/root"
cd "$work"

version=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: linux-image-//p' | head -1) # 6.1.0-56-amd64
series=$(cut -d. -f1,2 <<< "$version")
tree=$work/tree
if [ ! -e "gpio-sim-$version.ko" ]; then
  rm -rf "$tree" module
  (cd packages && apt-get download "linux-image-$version" "linux-headers-$version" "linux-headers-${version%-amd64}-common" \
    "linux-kbuild-$series" "linux-source-$series")
  for package in image-"$version" headers-"$version" headers-"${version%-amd64}"-common kbuild-"$series" source-"$series"; do
    dpkg -x packages/linux-"$package"_*.deb "$tree"
  done
  mkdir module
  tar -xJf "$tree/usr/src/linux-source-$series.tar.xz" --strip-components=1 "linux-source-$series/drivers/gpio/gpio-sim.c" \
    "linux-source-$series/drivers/gpio/gpiolib.h" "linux-source-$series/kernel/irq/irq_sim.c"
  mv drivers/gpio/* kernel/irq/* module/
  sed -i 's/handle_simple_irq(irq_to_desc(irqnum))/generic_handle_irq(irqnum)/' module/irq_sim.c
  printf 'obj-m := gpio_sim.o\ngpio_sim-y := gpio-sim.o irq_sim.o\n' > module/Makefile
  sed -i "s#/usr/src#$tree/usr/src#" "$tree/usr/src/linux-headers-$version/Makefile"
  make -s -C "$tree/usr/src/linux-headers-$version" M="$work/module" modules
  cp module/gpio_sim.ko "gpio-sim-$version.ko"
fi

kernel=$tree/lib/modules/$version/kernel
modules="virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci netfs fscache 9pnet 9pnet_virtio 9p configfs"
for module in $modules; do
  find "$kernel" -name "$module.ko" -exec cp {} init/lib/ \;
done
cp "gpio-sim-$version.ko" init/lib/gpio-sim.ko
cp "$(command -v busybox)" init/bin/busybox
cat > init/init << INIT
#!/bin/busybox sh
b=/bin/busybox
\$b mount -t proc proc /proc
for module in $modules gpio-sim; do \$b insmod /lib/\$module.ko; done
options=trans=virtio,version=9p2000.L,msize=1048576
\$b mount -t 9p -o \$options,ro,cache=loose root /root
\$b mount -t proc proc /root/proc
\$b mount -t sysfs sys /root/sys
\$b mount -t configfs config /root/sys/kernel/config
\$b mount -t tracefs trace /root/sys/kernel/tracing
\$b mount -t devtmpfs dev /root/dev
\$b mount -t tmpfs run /root/run
\$b mount -t 9p -o \$options out /root/mnt
\$b chroot /root /bin/sh /mnt/inside.sh
\$b poweroff -f
INIT
chmod +x init/init
(cd init && find . | cpio -o -H newc 2> /dev/null | gzip -1 > ../initrd.gz)
cat > out/inside.sh << INSIDE
export PATH=/usr/bin:/bin HOME=/run TMPDIR=/run PYTHONPATH=${PYTHONPATH:-} PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS=1
cd $root
$python benchmarks/gpio_sim.py --output /mnt/gpio_sim.json
echo \$? > /mnt/code
INSIDE
rm -f out/code out/gpio_sim.json
qemu-system-x86_64 -accel tcg -icount shift=1,sleep=off -cpu max -m 1G -nic none -nographic -no-reboot \
  -kernel "$tree/boot/vmlinuz-$version" -initrd initrd.gz -append "console=ttyS0 panic=-1 quiet" \
  -virtfs local,path=/,mount_tag=root,security_model=none,readonly=on,multidevs=remap \
  -virtfs local,path="$work/out",mount_tag=out,security_model=none
cp out/gpio_sim.json "$root/benchmarks/results/gpio_sim.json"
exit "$(cat out/code)"
