/*
 * What the parts of "mpkctl doctor" share.
 */
#ifndef MPK_TOOLS_DOCTOR_H
#define MPK_TOOLS_DOCTOR_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>

enum verdict {
    VERDICT_OK,
    VERDICT_NOTE, /* good to know; nothing has to be done */
    VERDICT_TODO, /* and the text says what */
};

#define DOCTOR_VALUE 256

/* Longer ones the module refuses. */
#define DOCTOR_PATH 1024

#define DOCTOR_SECTIONS 16

/* A section of this module in the list of providers. */
struct doctor_section {
    char name[DOCTOR_VALUE];     /* the provider's */
    char section[DOCTOR_VALUE];  /* its own */
    char path[DOCTOR_PATH];      /* the module's file */
    char activate[DOCTOR_VALUE]; /* "" if it is not there */
    char unknown[DOCTOR_VALUE];  /* a setting that there is not, or "" */
    char backend[DOCTOR_VALUE];
    char memory[DOCTOR_VALUE];
    bool active;
    bool tls; /* role = tls */
};

/* What the configuration file says of this provider. */
struct doctor_conf {
    char file[DOCTOR_VALUE];     /* "" if there is none */
    bool read;                   /* it could be read */
    char fault[DOCTOR_VALUE];    /* why not, or what it lacks; or "" */
    bool ours;                   /* it activates the module */
    bool tls;                    /* and a section with role = tls */
    bool keys;                   /* and one about private keys */
    char tls_name[DOCTOR_VALUE]; /* of a provider with role = tls */
    struct doctor_section sections[DOCTOR_SECTIONS]; /* active or not */
    size_t n_sections;
    char backend[DOCTOR_VALUE]; /* the one in force */
    char memory[DOCTOR_VALUE];
    bool backends_differ; /* which was said */
    char handle_key_file[DOCTOR_PATH];
    char keylog[DOCTOR_PATH];
    char tls_secrets[DOCTOR_VALUE];
    char tls12_cbc[DOCTOR_VALUE];
    char tls12_premaster[DOCTOR_VALUE];
    char x448[DOCTOR_VALUE];
    char quic[DOCTOR_VALUE];
};

/* The kinds of keys that are tried. */
#define DOCTOR_KEYS 2

struct doctor {
    int out; /* where findings go */
    struct doctor_conf conf;
    OSSL_LIB_CTX *stock; /* the default provider and no configuration */
    OSSL_PROVIDER *stock_provider;
    EVP_PKEY *keys[DOCTOR_KEYS]; /* made there; NULL if that failed */
};

/* doctor_say reports one finding: a short name, a verdict and one line. */
void doctor_say(struct doctor *d, enum verdict verdict, const char *name,
                const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* doctor_tries says whether |body|, which may end its process, returns true in
 * one of its own, which leaves no core. (doctor_machine.c) */
bool doctor_tries(bool (*body)(void));

/*
 * doctor_conf_read fills |d|->conf from the configuration file in force and
 * reports on it. It activates nothing.
 */
void doctor_conf_read(struct doctor *d);

/*
 * doctor_section_take adds |section| of the provider |name| to |d|->conf and
 * returns it, or NULL if its module is not this one.
 */
struct doctor_section *doctor_section_take(struct doctor *d, const CONF *conf,
                                           const char *name,
                                           const char *section);

/* doctor_section_in_force is the one whose backend and memory the domain has,
 * or NULL where none is active. */
const struct doctor_section *doctor_section_in_force(const struct doctor *d);

/* doctor_sections says which are not active, and where they differ. */
void doctor_sections(struct doctor *d);

/* How the provider's title begins. */
#define DOCTOR_TITLE "MPK-protected"

/*
 * doctor_module_path puts where libcrypto looks for |module|, which is NULL if
 * nothing is said, of the provider with that name. doctor_module_is_ours tells
 * whether that is this module. doctor_module_fault returns why it cannot be
 * loaded, in |why|, or NULL.
 */
void doctor_module_path(char *out, size_t cap, const char *module,
                        const char *provider);
bool doctor_module_is_ours(const char *path);
const char *doctor_module_fault(const char *path, char *why, size_t cap);

/* doctor_owner says whether others can write the file |path|, called |what|,
 * or replace it, or have another one found. */
void doctor_owner(struct doctor *d, const char *what, const char *path);

/* doctor_policy says what the system's configuration sets for TLS and |conf|,
 * the one in force, does not. */
void doctor_policy(struct doctor *d, const CONF *conf);

/* doctor_machine looks at CPU, kernel and limits. */
void doctor_machine(struct doctor *d);

/* doctor_providers loads the configuration and looks at who is active. */
void doctor_providers(struct doctor *d);

/* doctor_keys makes |d|->keys, loads them and looks at who holds them. */
void doctor_keys(struct doctor *d);

/* doctor_tls makes handshakes with itself, of |d|->keys, and looks at the
 * secrets. */
void doctor_tls(struct doctor *d);

/* doctor_ours tells whether the provider |p| is this one. */
bool doctor_ours(const OSSL_PROVIDER *p);

/* doctor_last_error is why libcrypto's last call failed; never empty. */
const char *doctor_last_error(char *buf, size_t cap);

#endif
