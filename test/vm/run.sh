#!/bin/bash
#
# run.sh [-m MiB] [-c CPUS] [-t SECONDS] [-w WORKDIR] -- COMMAND [ARG...]
#
# Runs COMMAND as root on a machine that has protection keys (PKU), wherever
# this one has none: a QEMU guest whose CPU is emulated in software (TCG) and
# whose files are this machine's own.
#
#   -m MiB      memory of the guest, which also holds what it writes (2048)
#   -c CPUS     virtual CPUs (2)
#   -t SECONDS  limit for everything, boot included (600)
#   -w WORKDIR  where COMMAND starts (the current directory)
#
#   MPK_VM_OUT=DIR      shared read-write with the guest under the same path;
#                       everything else that the guest writes is lost
#   MPK_VM_CACHE=DIR    kernel and initramfs (~/.cache/mpk-vm); remove it to
#                       get a newer kernel
#   MPK_VM_KERNEL=NAME  Debian meta-package of the kernel (linux-image-amd64)
#   MPK_VM_CPU=MODEL    QEMU CPU model and flags
#
# COMMAND sees MPK_VM=1, PATH, and those variables of the caller that $PASS_ENV
# names; stdin is empty; stdout and stderr both arrive on stdout, live. There
# is no network but loopback. /tmp is new and empty, save for the entries that
# WORKDIR or an ARG lies in. When COMMAND ends, what it left running is killed.
#
# Exit status: that of COMMAND; 124 when time is up; 125, with a message, when
# the guest did not come as far as COMMAND or died under it.
#
# Limits: timings mean nothing here, neither absolute ones (tens of times
# slower) nor ratios: WRPKRU costs a TLB flush in TCG, and a few cycles on a
# CPU. TCG runs no instruction speculatively and has no AVX-512. A hole that
# needs the microarchitecture, or a wide register, does not show.

set -Eeuo pipefail

readonly MODULES="virtio_pci virtio_console virtio_rng 9p 9pnet_virtio overlay"
readonly PACKAGES="qemu-system-x86 busybox-static cpio xz-utils zstd"
readonly PASS_ENV='^(MPK_|OPENSSL_|CTEST_|LD_LIBRARY_PATH$|LANG$|LC_ALL$|.*SAN_OPTIONS$)'

# max: every feature TCG knows, PKU and AVX2 among them, less two that make it
# unlike a server: 5-level paging (longer page walks) and MPX (more state in a
# signal frame). The named models (Skylake-Server and so on) boot as well, but
# ask for features that TCG lacks, with a warning for each.
readonly CPU=${MPK_VM_CPU:-max,-la57,-mpx}

die()
{
    echo "mpk-vm: $*" >&2
    exit 125
}

# need_tools installs what is missing, or says what to install.
need_tools()
{
    local tool missing=

    for tool in qemu-system-x86_64 busybox cpio xz zstd; do
        command -v "$tool" >/dev/null || missing+=" $tool"
    done
    [[ -n $missing ]] || return 0
    [[ $EUID -eq 0 ]] || die "no$missing: apt-get install $PACKAGES"
    # shellcheck disable=SC2086  # a list
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y \
        -o DPkg::Lock::Timeout=300 --no-install-recommends $PACKAGES \
        >"$run/apt.log" 2>&1 ||
        die "cannot install $PACKAGES: $(tail -n 1 "$run/apt.log")"
}

# unpack_kernel IMAGE writes the ELF file inside a bzImage to stdout. Left to
# the guest, that would take longer than the rest of the boot.
unpack_kernel()
{
    local image=$1 sectors start size magic unpack

    # Fields of the x86 boot protocol: setup_sects, payload_offset, _length;
    # the last four bytes of the payload are its unpacked size.
    sectors=$(od -An -tu1 -j $((0x1f1)) -N 1 "$image")
    start=$(od -An -tu4 -j $((0x248)) -N 4 "$image")
    size=$(od -An -tu4 -j $((0x24c)) -N 4 "$image")
    start=$(((sectors + 1) * 512 + start))
    magic=$(od -An -tx1 -j $start -N 4 "$image")
    case $magic in
    " fd 37 7a 58") unpack="xz -dc" ;;
    " 28 b5 2f fd") unpack="zstd -dcq" ;;
    *) die "$image is packed with something unknown:$magic" ;;
    esac
    dd if="$image" bs=1M iflag=skip_bytes,count_bytes status=none \
        skip=$start count=$((size - 4)) | $unpack
}

# make_kernel DIR unpacks the newest kernel of $meta: vmlinux, and lib/modules
# with a modules.dep, which the package itself does not contain.
make_kernel()
{
    local dir=$1 pkg

    pkg=$(apt-cache depends "$meta" 2>/dev/null |
        sed -n '/linux-image-[0-9]/s/^ *Depends: //p')
    [[ -n $pkg ]] || die "apt knows no $meta: run apt-get update"
    (cd "$dir" && apt-get download -qq -o APT::Sandbox::User=root "$pkg") \
        >"$run/apt.log" 2>&1 ||
        die "cannot download $pkg: $(tail -n 1 "$run/apt.log")"
    dpkg-deb -x "$dir/$pkg"_*.deb "$dir"
    unpack_kernel "$dir"/boot/vmlinuz-* >"$dir/vmlinux" ||
        die "cannot unpack the kernel of $pkg"
    rm -r "$dir/$pkg"_*.deb "${dir:?}/boot" "${dir:?}/usr"
    find "$dir/lib" -name '*.ko.xz' -exec xz -d {} +
    busybox depmod -b "$dir" "${pkg#linux-image-}"
}

# make_initramfs DIR packs busybox and the modules in the order of loading.
make_initramfs()
{
    local dir=$1 root=$1/initramfs name file

    mkdir -p "$root"/{bin,dev,proc,root,modules}
    cp "$(command -v busybox)" "$root/bin/busybox"
    cd "$dir"/lib/modules/*
    for name in $MODULES; do
        name="/${name//_/[-_]}\\.ko"
        grep -q "$name" modules.builtin && continue
        # "a: b c" means: load c, b, then a.
        grep "$name:" modules.dep | tr -d : | tr ' ' '\n' | tac
    done | awk 'NF && !seen[$0]++' >"$run/modules"
    while read -r file; do
        cp "$file" "$root/modules"
        echo "${file##*/}" >>"$root/modules/order"
    done <"$run/modules"
    cd "$root"
    find . | cpio -o -H newc --quiet >"$dir/initramfs.cpio"
    cd "$workdir"
    rm -r "$root"
}

# need_kernel fills the cache once; others that start meanwhile wait.
need_kernel()
{
    local lock

    mkdir -p "${kernel%/*}"
    exec {lock}>"$kernel.lock"
    flock "$lock"
    if [[ ! -d $kernel ]]; then
        echo "mpk-vm: preparing the kernel in $kernel" >&2
        rm -rf "$kernel.new"
        mkdir "$kernel.new"
        make_kernel "$kernel.new"
        make_initramfs "$kernel.new"
        mv "$kernel.new" "$kernel"
    fi
    exec {lock}>&-
}

# write_init writes /init, the guest's side. It must do with busybox; the
# machine's own programs are used for COMMAND alone.
write_init()
{
    cat >"$1" <<'INIT'
#!/bin/busybox sh
b=/bin/busybox
share="-t 9p -o trans=virtio,version=9p2000.L,msize=512000"
$b mount -t proc proc /proc
$b mount -t devtmpfs dev /dev
while read -r module; do
    $b insmod "/modules/$module"
done </modules/order
. /job/settings

# Everything below one tmpfs: what the overlay writes, and the real root.
$b mount -t tmpfs -o size=90% tmpfs /root
$b mkdir /root/host /root/upper /root/work /root/new
$b mount $share,ro,cache=loose host /root/host
$b mount -t overlay -o \
    lowerdir=/root/host,upperdir=/root/upper,workdir=/root/work \
    overlay /root/new || exec $b reboot -f
cd /root/new

$b mount -t proc proc proc
$b mount -t sysfs sys sys
$b mount -t devtmpfs dev dev
$b mkdir -p dev/shm dev/pts
$b mount -t devpts -o mode=620,ptmxmode=666 devpts dev/pts
$b mount -t tmpfs -o mode=1777 shm dev/shm
$b mount -t tmpfs run run
$b mkdir -p "lib/modules/$($b uname -r)"
$b mount --bind ".$MODULE_DIR" "lib/modules/$($b uname -r)"
for link in fd:fd stdin:fd/0 stdout:fd/1 stderr:fd/2; do
    $b ln -sfn "/proc/self/${link#*:}" "dev/${link%%:*}"
done

# The caller's own entries of /tmp are put back over the empty one.
$b mount --bind tmp /root/work
$b mount -t tmpfs -o mode=1777 tmp tmp
for entry in $TMP_ENTRIES; do
    if [ -d "/root/work/$entry" ]; then
        $b mkdir -p "tmp/$entry"
    else
        : >"tmp/$entry"
    fi
    $b mount --bind "/root/work/$entry" "tmp/$entry"
done
if [ -n "$OUT" ]; then
    $b mkdir -p ".$OUT"
    $b mount $share,rw,cache=mmap out ".$OUT"
fi

$b hostname mpk-vm
$b ip link set lo up
$b mkdir run/mpk-vm
$b cp -r /job /bin/busybox run/mpk-vm/
exec $b switch_root /root/new /run/mpk-vm/busybox sh /run/mpk-vm/job/main
INIT
    chmod +x "$1"
}

# write_main writes the guest's process 1 once the real root is in place.
write_main()
{
    cat >"$1" <<'MAIN'
b=/run/mpk-vm/busybox
port=$($b grep -l status /sys/class/virtio-ports/*/name)
port=${port%/name}
exec 3>"/dev/${port##*/}"
port=$($b grep -l output /sys/class/virtio-ports/*/name)
port=${port%/name}

# A port can be open once only, so /dev/stdout has to be a pipe.
$b mkfifo /run/mpk-vm/pipe
$b cat </run/mpk-vm/pipe >"/dev/${port##*/}" 3>&- &
relay=$!
echo started >&3
$b setsid /bin/bash /run/mpk-vm/job/command </dev/null \
    >/run/mpk-vm/pipe 2>&1 3>&- &
wait $!
status=$?

# The relay ends when nobody has the pipe open any more.
for p in /proc/[0-9]*; do
    case ${p#/proc/} in
    1 | "$relay") ;;
    *) kill -KILL "${p#/proc/}" 2>/dev/null ;;
    esac
done
wait "$relay"
echo "exit $status" >&3
$b sync
$b reboot -f
MAIN
}

# write_job DIR ARG... packs what is different in each run.
write_job()
{
    local dir=$1 arg name entry entries=
    shift

    mkdir -p "$dir/job"
    for arg in "$workdir" "$@"; do
        [[ $arg == /tmp/?* && -e $arg ]] || continue
        entry=${arg#/tmp/}
        entries+=" ${entry%%/*}"
    done
    {
        printf 'MODULE_DIR=%q\n' "$(realpath "$kernel"/lib/modules/*)"
        printf 'TMP_ENTRIES=%q\n' "$entries"
        printf 'OUT=%q\n' "$out"
    } >"$dir/job/settings"
    {
        while read -r name; do
            [[ ! $name =~ $PASS_ENV ]] || printf 'export %s=%q\n' \
                "$name" "${!name}"
        done < <(compgen -e)
        printf 'export HOME=/root USER=root MPK_VM=1 PATH=%q\n' "$PATH"
        printf 'cd %q || exit 125\nexec' "$workdir"
        printf ' %q' "$@"
        echo
    } >"$dir/job/command"
    write_init "$dir/init"
    write_main "$dir/job/main"
    (cd "$dir" && find . | cpio -o -H newc --quiet)
}

# run_guest boots and returns QEMU's status, or timeout's. However this script
# ends, it takes QEMU with it.
#
# The guest's TSC is the host's, and how fast that is the guest's kernel would
# measure while it boots: on a busy host it came to a quarter of the truth, so
# that its clock ran four times too fast and every limit of time was over early,
# or to a hundred times it. So it is told. Where nothing can be compiled it goes
# by the HPET, of which QEMU says how fast it is, and tests take twice as long.
run_guest()
{
    local share=() clock='clocksource=hpet tsc=unstable'

    if "${CC:-cc}" -O2 -o "$run/tsc_khz" "${0%/*}/tsc_khz.c" 2>/dev/null; then
        clock="tsc=reliable tsc_early_khz=$("$run/tsc_khz")"
    fi

    if [[ -n $out ]]; then
        share=(-virtfs "local,path=$out,mount_tag=out,security_model=none")
    fi
    setpriv --pdeathsig TERM timeout --foreground -k 5 "$limit" \
        qemu-system-x86_64 \
        -accel tcg,thread=multi -cpu "$CPU" -smp "$cpus" -m "$memory" \
        -M q35 -nodefaults -no-user-config -display none -no-reboot \
        -kernel "$kernel/vmlinux" -initrd "$run/initrd" \
        -append "console=ttyS0 quiet panic=-1 secretmem.enable=1 \
mitigations=off $clock no_timer_check random.trust_cpu=on" \
        -serial "file:$run/console" \
        -device virtio-rng-pci -device virtio-serial-pci \
        -chardev "file,id=output,path=$run/output" \
        -device virtserialport,chardev=output,name=output \
        -chardev "file,id=status,path=$run/status" \
        -device virtserialport,chardev=status,name=status \
        -virtfs "local,path=/,mount_tag=host,security_model=none,\
readonly=on,multidevs=remap" \
        "${share[@]}" </dev/null >"$run/qemu" 2>&1
}

memory=2048 cpus=2 limit=600 workdir=$PWD
while getopts m:c:t:w: option; do
    case $option in
    m) memory=$OPTARG ;;
    c) cpus=$OPTARG ;;
    t) limit=$OPTARG ;;
    w) workdir=$OPTARG ;;
    *) die "usage: run.sh [-m MiB] [-c CPUS] [-t SECONDS] [-w DIR] -- COMMAND" ;;
    esac
done
shift $((OPTIND - 1))
[[ $# -gt 0 ]] || die "no command given"
workdir=$(realpath -e "$workdir" 2>/dev/null) || die "no such WORKDIR"
out=
if [[ -n ${MPK_VM_OUT:-} ]]; then
    mkdir -p "$MPK_VM_OUT"
    out=$(realpath "$MPK_VM_OUT")
fi
meta=${MPK_VM_KERNEL:-linux-image-amd64}
kernel=${MPK_VM_CACHE:-$HOME/.cache/mpk-vm}/$meta

run=$(mktemp -d)
trap 'rm -rf "$run"' EXIT
trap 'die "line $LINENO: failed: $BASH_COMMAND"' ERR
need_tools
need_kernel
{ cat "$kernel/initramfs.cpio" && write_job "$run/root" "$@"; } >"$run/initrd"

# QEMU writes to a pipe of its own: it would make our stdout non-blocking.
# Without a reader of our own there is nothing left to run for.
mkfifo "$run/output"
{ cat "$run/output" || kill -PIPE $$; } &
relay=$!
code=0
run_guest || code=$?
exec {unblock}<>"$run/output" {unblock}>&- # in case QEMU never opened it
wait "$relay"

status=$(cat "$run/status" 2>/dev/null || true)
case $status in
*exit\ *) exit "${status##*exit }" ;;
started) [[ $code -ne 124 && $code -ne 137 ]] || exit 124 ;;
esac
die "the guest ${status:-did not start} and then stopped (QEMU: $code):" \
    "$(tail -n 5 "$run/qemu" "$run/console" 2>/dev/null)"
