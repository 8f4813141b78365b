#!/bin/sh
# What the inner OpenSSL calls for memory that is zero keeps nothing while it
# gets it, and no other code of the module does what it is in place of: in an
# entry on its caller's stack, which others write to, a length there says how
# much of the domain is set to zero. Seen to fail without --wrap, and with a
# memset in __wrap_CRYPTO_zalloc.
set -eu

code=$(objdump -d --no-show-raw-insn "$1" |
    sed -n -e '/<__wrap_CRYPTO_zalloc>:$/,/^$/p' \
        -e '/	\(call\|jmp\).*<CRYPTO_zalloc>$/p')
case $code in
*CRYPTO_malloc*) ;;
*)
    echo "no code of __wrap_CRYPTO_zalloc() in $1" >&2
    exit 1
    ;;
esac
if echo "$code" | grep -E '	(push|call)|\(%rsp|\(%rbp|<CRYPTO_zalloc>$'; then
    echo "a length is kept on the caller's stack" >&2
    exit 1
fi
