/* keyload.h - what loading a key inside may answer. */
#ifndef MPKPROV_KEYLOAD_H
#define MPKPROV_KEYLOAD_H

enum {
    KEYLOAD_FAILED = 0, /* an error is recorded */
    KEYLOAD_KEY,        /* handle and type are set */
    KEYLOAD_NOTHING,    /* not a private key, or not of the type wanted */
    KEYLOAD_ENCRYPTED,  /* come back with a passphrase */
    KEYLOAD_REFUSED     /* a private key that we cannot take; error says why */
};

/* What the bytes of a key are. */
enum {
    KEYLOAD_DER,
    KEYLOAD_PEM,
    KEYLOAD_PEM_OR_REFERENCE,
    KEYLOAD_MSBLOB, /* msblob.h */
    KEYLOAD_PVK
};

/* Label of a PEM block that is no key, but says where one is. */
#define KEYLOAD_REFERENCE "MPK KEY REFERENCE"

/* A key file may have this many bytes, certificates in it included. */
#define KEYLOAD_MAX ((size_t)1 << 20)
#define KEYLOAD_TOO_LARGE "it is larger than any key"
#define KEYLOAD_PATH_MAX 4096
#define KEYLOAD_PASS_MAX 1024

#endif
