/*
 * prov.h - what proxies use: the provider's context and its objects outside.
 *
 * Everything in this header is outside the domain and may be read, and
 * overwritten, by anybody in the process. Nothing secret is in it.
 */
#ifndef MPKPROV_PROV_H
#define MPKPROV_PROV_H

#include "fact.h"
#include "foresight.h"
#include "ops.h"
#include "outer.h"
#include "reason.h"
#include "recipe.h"
#include "types.h"

#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <pthread.h>

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

/* ---- the core's functions, as one module in one process gets them -------- */

struct core {
    OSSL_FUNC_core_get_params_fn *get_params;
    OSSL_FUNC_core_get_libctx_fn *get_libctx;
    OSSL_FUNC_core_new_error_fn *new_error;
    OSSL_FUNC_core_set_error_debug_fn *set_error_debug;
    OSSL_FUNC_core_vset_error_fn *vset_error;
    OSSL_FUNC_core_set_error_mark_fn *set_error_mark;
    OSSL_FUNC_core_pop_error_to_mark_fn *pop_error_to_mark;
    OSSL_FUNC_BIO_read_ex_fn *bio_read_ex;
    OSSL_FUNC_BIO_write_ex_fn *bio_write_ex;
    OSSL_FUNC_BIO_gets_fn *bio_gets;
    OSSL_FUNC_BIO_ctrl_fn *bio_ctrl;
    OSSL_FUNC_provider_register_child_cb_fn *register_child_cb;
    OSSL_FUNC_provider_deregister_child_cb_fn *deregister_child_cb;
    OSSL_FUNC_provider_name_fn *provider_name;
    OSSL_FUNC_provider_up_ref_fn *provider_up_ref;
};

enum self_check { SELF_CHECK_REQUIRE, SELF_CHECK_WARN, SELF_CHECK_OFF };

/* What a section of openssl.cnf activates this module for. */
enum role {
    ROLE_KEYS, /* long-lived private keys */
    ROLE_TLS   /* session secrets; the section comes first, see mpk.cnf.in */
};
/* Whose the group X448 is; see docs/design/groups.md. */
enum x448 { X448_LEAVE, X448_PROTECT };
/* TLS 1.2 suites with CBC, whose keys go out in the clear. */
enum cbc { CBC_RAW, CBC_REFUSE };
/* Pre-master secrets of TLS 1.2 that are in the clear when they come here. */
enum pms { PMS_RAW, PMS_REFUSE };
/* Whether programs with a QUIC of their own derive its keys here. */
enum quic { QUIC_LEAVE, QUIC_PROTECT };

/* Parameters of the provider, of type uint64_t: how often this process has
 * gone through the gate, and how many blocks of the domain's heap are in use.
 */
#define MPKPROV_PARAM_CROSSINGS "mpk-crossings"
#define MPKPROV_PARAM_BLOCKS "mpk-blocks-in-use"
/* And a text: why it refuses all, or "". */
#define MPKPROV_PARAM_REFUSED "mpk-refused"

#define MPKPROV_NAME_MAX 32
#define MPKPROV_PATH_MAX 1024

struct tls_settings {
    enum self_check secrets;
    int found; /* by the self-check: 1 protected, -1 not, 0 not looked */
    /* How often default properties have changed, how often of these times
     * tls_still_ours has looked, and what it found. */
    unsigned changes, looked;
    int elsewhere; /* algorithms come from another provider */
    enum cbc cbc;
    enum pms pms;
    enum x448 x448;
    enum quic quic;
    char handle_key_file[MPKPROV_PATH_MAX];
    char keylog[MPKPROV_PATH_MAX];
};

/* What the self-check has seen of the other providers; see selfcheck.c. */
struct provider_order {
    int started; /* those that come from now on come after us */
    int default_active, others_active;
    int base_later; /* base is active, came after us, and was let be */
    unsigned gone;  /* of ORDER_*: has been active once, and removed */
    int outlived;   /* by keys, when it was last removed itself */
};
enum { ORDER_DEFAULT = 1, ORDER_BASE = 2 };

#define PROV_KEY_CHANGES 4

/* Keydata of every keymgmt of ours. */
struct prov_key {
    struct prov_ctx *ctx;
    uint64_t handle; /* 0 for a key that is refused */
    enum key_type type;
    struct known *_Atomic known; /* what has worked, and what it has said */
    /* What was |known| before the key was changed: another thread that uses the
     * key may be at it. When there is no place left, no more is learnt. */
    struct known *was[PROV_KEY_CHANGES];
    unsigned n_was;
    /* Of a signature or secret; 0 when not asked yet. Threads that share the
     * key may ask at the same time, and get the same. */
    _Atomic size_t max_size;
    char refused[MPKPROV_ERROR_TEXT]; /* why, when handle is 0 */
};

/* Context of a decoder: what it is for. */
struct prov_decoder {
    struct prov_ctx *ctx;
    enum key_type type; /* of a decoder for tokens, or KEY_ANY */
};

struct prov_ctx {
    /* What other threads look at, whoever the context belongs to by now: all
     * but |next|, which never changes, is used atomically. */
    struct prov_ctx *next;
    const OSSL_CORE_HANDLE *handle; /* NULL: belongs to nobody */
    unsigned cache_emptied;         /* bits of key types; see methodcache.c */
    unsigned keys;                  /* of this context that are alive */
    unsigned visitors;              /* threads in prov_keep_default_again */
    int inactive; /* no longer, with its library context perhaps gone */
    /*
     * What loading a key needs is there beforehand: where there is no memory
     * for it, another provider would load the key. What is for a type is one
     * behind its place, so that KEY_ANY has the first.
     */
    struct prov_decoder decoders[KEY_TYPES + 1];
    struct prov_key spares[KEY_TYPES + 1]; /* refused, each for any number */
    /* From here on, the owner's. */
    char name[MPKPROV_NAME_MAX]; /* the section's name in openssl.cnf */
    /* The application's libcrypto. */
    int core_major, core_minor, core_patch;
    enum role role;
    struct tls_settings tls;
    enum self_check self_check;
    int follow_references; /* in PEM, to key files */
    int self_checked, self_checking;
    int watching;
    struct provider_order order;
    /* This is for connections, and the section for private keys, which asks for
     * protection, cannot be loaded (sections.c). */
    int lost_keys;
    /*
     * When not empty the provider takes keys and refuses to use them, for the
     * reason given: an init that failed would leave the application with its
     * keys in the clear.
     */
    char refused[256];
};

/* A key on its way through libcrypto's decoders; see token_issue. */
struct pending_token {
    struct pending_token *next;
    unsigned char id[16];
    struct prov_key *key; /* NULL once somebody has come for it */
};

#define CIPHERS_MAX 8

/* A file of ours. Its descriptor may be closed by a program that makes a daemon
 * of itself, and its number be another file's then. */
struct own_file {
    int fd;
    int known; /* by what follows */
    dev_t dev;
    ino_t ino;
};

struct ended {
    uint64_t handle[MPKPROV_ENDED]; /* or 0 */
};

/*
 * The provider's mutable state outside. It has pages to itself, because the
 * rest of the module's data belongs to the domain.
 */
struct prov_outside {
    struct core core;
    struct prov_ctx *contexts;
    /* Those of a configuration, for which no memory is needed. */
    struct prov_ctx first[2];
    size_t n_first;
    struct outer outer;
    int log_level;
    struct own_file log;
    int log_opened;
    pthread_mutex_t lock;
    int cleanup_expected; /* see cleanup.c */
    int forks_seen;  /* the handler runs in children that counts in |forks| */
    uint32_t forks;  /* those that made this process, from the first one on */
    int initialised; /* 1 the domain is there, -1 it cannot be had */
    int making;      /* a thread is about it */
    char init_error[256];
    int tls; /* as |initialised|, for session secrets */
    char tls_error[256];
    struct tls_settings tls_settings; /* with which they were switched on */
    struct own_file keylog;
    int raw_premaster_said;
    size_t cipher_deep_from[CIPHERS_MAX]; /* see cipher_ctx.c */
    struct mpk_config config;
    struct pending_token *tokens; /* under the lock */
    _Atomic(pthread_t) freed_by;  /* see freed.c */
    atomic_int freed_looks;
    struct kind *kinds; /* of keys; they only get more */
    int n_kinds;
    _Atomic(const OSSL_PARAM *) gen_settable[KEY_TYPES]; /* never freed */
    /* Of operations; a key's end takes them along. These two are written all
     * the time, what comes before them is read. */
    struct ended ended __attribute__((aligned(64)));
    struct ended ended_ciphers __attribute__((aligned(64)));
    struct foresight foresight;
} __attribute__((aligned(4096)));

extern struct prov_outside prov;

/* ---- objects outside ----------------------------------------------------- */

/* A context of any operation; the inner one is made by its init. */
struct prov_opctx {
    struct prov_ctx *ctx;
    enum ctx_class cls;
    uint64_t handle; /* 0 before the first init */
    size_t max_size;
    const OSSL_PARAM *settable, *gettable; /* asked once */
    void *answers;                         /* what was asked for by reference */
    /* How it was made. While |waiting|, nothing of that has gone in yet. */
    struct recipe recipe;
    int waiting;
    /* A message that was signed in one call, by which the inner context was
     * used up: with |recipe| and this it is made anew. NULL if it was not. */
    unsigned char *spent;
    size_t spent_len;
    uint64_t key; /* handle */
    struct known *known;
};

struct prov_key *prov_key_new(struct prov_ctx *ctx, enum key_type type,
                              uint64_t handle);
void prov_key_free(struct prov_key *key);
#define NO_MEMORY "the process is out of memory"
extern const char prov_other_type[];
/* A key object that stands for one that could not be taken; never NULL. |type|
 * is KEY_ANY when nobody can say: prov_key_become makes it one of |type|, and
 * may return another object for it. */
struct prov_key *prov_key_refused(struct prov_ctx *ctx, enum key_type type,
                                  const char *why);
struct prov_key *prov_key_become(struct prov_key *key, enum key_type type);
/* Fills in what |ctx| has of keys beforehand. */
void prov_key_spares(struct prov_ctx *ctx);
/* 1 if |key| may be used; 0 with an error raised if not. */
int prov_key_usable(const struct prov_key *key);

/* ---- crossing ------------------------------------------------------------ */

/* prov_call runs |op|; what it failed with goes to the error queue. */
int64_t prov_call(enum mpkprov_op op, struct mpkprov_frame *f,
                  const char *func);
#define PROV_CALL(name, f) prov_call(OP_##name, f, __func__)

/* The element |name| of an array that is public and the caller's, or NULL. */
const OSSL_PARAM *prov_param(const OSSL_PARAM params[], const char *name);

/* ---- errors, log, configuration ------------------------------------------ */

/* prov_raise puts one entry into the application's error queue; returns 0. */
int prov_raise(int reason, const char *func, const char *format, ...)
    __attribute__((cold, format(printf, 3, 4)));
#define RAISE(reason, ...) prov_raise(MPKPROV_R_##reason, __func__, __VA_ARGS__)

extern const OSSL_ITEM prov_reasons[];

/* Writes one line to the log if |level| is asked for: 0 always (an operator
 * must see it), 1 what happens, 2 also what fails. Never give it a secret. */
void prov_log(int level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void prov_log_open(void);

/*
 * prov_open is open(2), for the owner only and closed on exec, but for the
 * descriptors of standard input, output and error: a program that has closed
 * these expects the next files that it opens itself to have them.
 */
int prov_open(const char *path, int flags);
/* prov_own makes |f| what |fd| is open for; 0, with errno, if that cannot be
 * told. */
int prov_own(struct own_file *f, int fd);
/*
 * prov_write writes to a file of ours and returns 0 or an errno, EBADF if |f|
 * is another file by now. The signals of a pipe without a reader and of a file
 * that may not grow, which would end the process for a line in the log, do not
 * come.
 */
int prov_write(const struct own_file *f, const void *text, size_t len);

/*
 * libcrypto's cache of fetched methods does not tell a method that was asked
 * of one provider from one that was asked of any: the first to be cached wins
 * (property.c, query_cmp). So before ours is asked for, the default one is:
 * otherwise an application's own RSA or EC keys, and libssl's ephemeral ones,
 * would come to us after the first signature. The second form does so again
 * after something that empties the cache.
 */
void prov_keep_default_first(struct prov_ctx *ctx, enum key_type type);
void prov_keep_default_again(enum key_type type);

/* A key of this context comes to be, or has gone. */
void prov_ctx_key_new(struct prov_ctx *ctx);
void prov_ctx_key_gone(struct prov_ctx *ctx);

/* In a forked child: who was visiting a context is not here. */
void prov_visitors_forget(void);

/* The first of all contexts; see |next|. */
struct prov_ctx *prov_contexts(void);

/* Whether |ctx| is a context of this module: there is one for each section of
 * openssl.cnf that activates it. */
int prov_ctx_is_ours(const void *ctx);
/* Whether the application's libcrypto is |major|.|minor| or later. */
int prov_core_is(const struct prov_ctx *ctx, int major, int minor);

/* A handle of the core's for what belongs to no context, such as errors. */
const OSSL_CORE_HANDLE *prov_handle(void);

/* Reads the provider's section; 1, or 0 with |ctx->refused| saying what is
 * wrong in it. */
int prov_config_read(struct prov_ctx *ctx, struct mpk_config *config);

/* Looks for settings in the section that nobody knows; as above. */
int prov_config_lint(struct prov_ctx *ctx);
/* Whether a setting of this name is ours, or libcrypto's own. */
int prov_config_known(const char *name);

#define PROV_NO_HANDLER "no memory for a fork handler"

/*
 * Has |ctx| use the domain of this process, which the first one makes as
 * |config| says, and with |ctx|->role the secrets of connections. What is wrong
 * is in |ctx|->refused. Any thread. (process.c)
 */
void prov_use_domain(struct prov_ctx *ctx, struct mpk_config *config);
/* From now on a child of fork knows that it is one; 1, or 0 without memory.
 * With prov.lock, once. */
int prov_follow_forks(void);

/*
 * prov_sections_look looks in |list|, a section of |conf|, for sections for
 * this module that cannot be loaded; as above when one asks for protection.
 * prov_sections_check is for when a private key is about to be loaded: it ends
 * the process if nobody is there to refuse it. (sections.c)
 */
int prov_sections_look(struct prov_ctx *ctx, const struct outer *o, CONF *conf,
                       const char *list);
void prov_sections_check(const struct prov_ctx *ctx);
/* The domain's settings in the words of openssl.cnf. */
void prov_config_say(char *out, size_t room, const struct mpk_config *config);

/* Providers outlive libcrypto's clean-up from now on; once. (cleanup.c) */
void prov_cleanup_expect(void);

void prov_selfcheck_start(struct prov_ctx *ctx);
void prov_selfcheck_stop(struct prov_ctx *ctx);
/* libcrypto got no memory for its names of algorithms, does not try again, and
 * reads keys by its old code: says so, or ends the process ("require"). */
void prov_selfcheck_no_names(struct prov_ctx *ctx);
/* The check that loads a key; once, at the first look for decoders. */
void prov_selfcheck_run(struct prov_ctx *ctx);

/* ---- tables of the operations -------------------------------------------- */

extern const OSSL_ALGORITHM prov_keymgmts[], prov_signatures[],
    prov_asym_ciphers[], prov_exchanges[], prov_kems[], prov_decoders[],
    prov_decoders_3_0[], prov_encoders[], prov_stores[];

/* ---- shared by the operations (opctx.c, object.c) ------------------------ */

void *opctx_new(void *provctx, enum ctx_class cls);
OSSL_FUNC_signature_freectx_fn opctx_free;
OSSL_FUNC_signature_dupctx_fn opctx_dup;
OSSL_FUNC_signature_get_ctx_params_fn opctx_get;
OSSL_FUNC_signature_set_ctx_params_fn opctx_set;
OSSL_FUNC_signature_get_ctx_md_params_fn opctx_get_md;
OSSL_FUNC_signature_set_ctx_md_params_fn opctx_set_md;
OSSL_FUNC_signature_gettable_ctx_params_fn opctx_gettable;
OSSL_FUNC_signature_settable_ctx_params_fn opctx_settable;
OSSL_FUNC_signature_gettable_ctx_md_params_fn opctx_gettable_md;
OSSL_FUNC_signature_settable_ctx_md_params_fn opctx_settable_md;
/*
 * Room for what |params| ask for by reference, if they do, becomes f->out: the
 * |size| bytes at |*answers|, which the context keeps until its end, since the
 * application has pointers there. 1, or 0 without memory.
 */
int prov_answers_room(void **answers, size_t size, const OSSL_PARAM *params,
                      struct mpkprov_frame *f);
/* Common part of every init: 1 or 0. */
int opctx_init(enum mpkprov_op op, struct prov_opctx *c, struct prov_key *key,
               int what, const char *name, const OSSL_PARAM params[]);

/*
 * The same for signing. It waits when that has worked before; whatever needs
 * the inner context asks opctx_settle first, which is 0 with an error if it
 * cannot be made after all.
 */
int opctx_sign_init(struct prov_opctx *c, struct prov_key *key, int what,
                    const char *name, const OSSL_PARAM params[]);
int opctx_settle(struct prov_opctx *c);
/*
 * opctx_spend is for a signature in one call of |len| bytes, after which the
 * application may go on with the message. 1 if the inner context may be used
 * up, since another can be made: the caller puts the message into c->spent. 0:
 * the inside has to sign with a copy.
 */
int opctx_spend(struct prov_opctx *c, size_t len);
/* opctx_recipe puts what waits into |f|, for a call that settles it as well. */
void opctx_recipe(struct prov_opctx *c, struct mpkprov_frame *f);

/*
 * The end of a context is nothing to wait for: it goes in with the next call
 * whose stub frees f->ended. Few can wait, so that little stays alive for
 * longer than its owner wanted.
 *
 * ended_keep puts |handle| into |list| and returns 1, or 0 when that is full.
 * ended_take empties |list| into |f|. Both at any time, from any thread.
 * (ended.c)
 */
int ended_keep(struct ended *list, uint64_t handle);
void ended_take(struct ended *list, struct mpkprov_frame *f);

/* The key's "max-size". */
size_t prov_key_max_size(struct prov_key *key);

/* ---- loading (load.c, token.c, bytes.c) ---------------------------------- */

/* A private key on its way in: text or DER, which stays the caller's to wipe,
 * or the path of a file that the inside reads itself. */
struct key_source {
    const void *data;
    size_t len;
    int form;         /* KEYLOAD_DER and so on */
    const char *path; /* instead of |data| */
};

enum loaded {
    LOADED_NOTHING, /* no private key */
    LOADED_KEY,     /* |*key| is it; perhaps one that refuses to be used */
    LOADED_FAILED   /* a private key, and what is wrong is in the queue */
};

/*
 * prov_load takes the key of |s| into the domain. A passphrase is asked of
 * |cb| when one is needed, once.
 */
enum loaded prov_load(struct prov_ctx *ctx, const struct key_source *s,
                      OSSL_PASSPHRASE_CALLBACK *cb, void *cbarg,
                      struct prov_key **key);

/* key_likely is the type that the private key in |s| says it has, without
 * looking at anything private; KEY_RSA, whose errors say most, when it does not
 * say (likely.c). */
enum key_type key_likely(const struct key_source *s);

/* prov_key_give hands |key| to |cb| as an object reference; what |cb| does not
 * take is freed. Returns what |cb| returns. */
int prov_key_give(struct prov_key *key, OSSL_CALLBACK *cb, void *cbarg);

/*
 * A token stands for a key on its way through libcrypto's chain of decoders,
 * which would otherwise pass the key itself along: a small DER object with a
 * random number, good for one time, as long as its issuer waits: |t| is his.
 * token_issue takes |key| over and returns the token's length; where there are
 * no random numbers, a key that refuses stands for it from then on.
 * token_redeem returns the key of |type|, which one of KEY_ANY then is of, or
 * NULL. token_withdraw ends the token, and returns the key if nobody has come
 * for it.
 */
#define TOKEN_MAX 64
size_t token_issue(struct pending_token *t, struct prov_key *key,
                   unsigned char der[TOKEN_MAX]);
struct prov_key *token_withdraw(struct pending_token *t);
/* Whether a token may begin with the |len| bytes at |der|. */
int token_may_be(const unsigned char *der, size_t len);
/* Whether they are one. */
int token_is(const unsigned char *der, size_t len);
struct prov_key *token_redeem(const unsigned char *der, size_t len,
                              enum key_type type);

/*
 * token_pass hands |key|, which was found in |s|, to the next decoder of a
 * chain, as a token for |cb|; what nobody comes for is freed.
 * token_pass_refused hands on one that refuses, because of |why|. They return
 * what |cb| returns, or 0 with an error. (token_pass.c)
 */
int token_pass(struct prov_key *key, const struct key_source *s,
               OSSL_CALLBACK *cb, void *cbarg);
int token_pass_refused(struct prov_ctx *ctx, const char *why, OSSL_CALLBACK *cb,
                       void *cbarg);

/* So many are read without memory: the head of an object, or a token. A reader
 * that has no memory for the token of another's key takes it for any key. */
#define BYTES_START 64

_Static_assert(BYTES_START >= TOKEN_MAX, "a token fits");

/* Bytes read from a BIO; wiped by bytes_free. */
struct bytes {
    unsigned char *p;
    size_t len, room;
    size_t more;    /* of an object that is not read whole */
    int more_later; /* the last read gave nothing, for now */
    int can_seek;   /* the BIO is where it says it is */
    int by_line;    /* what is read too much cannot be put back, or is waited
                     * for in vain */
    unsigned char start[BYTES_START]; /* where |p| points at first */
};

/* The stream that |bio| reads a file from, the BIO's own, or NULL. */
FILE *bytes_stream(OSSL_CORE_BIO *bio);
/* bytes_read appends what |bio| has, up to |max| in all; 1, or 0 when there is
 * no memory. */
int bytes_read(struct bytes *b, OSSL_CORE_BIO *bio, size_t max);
/* bytes_read_line appends a line, or a part of one. */
int bytes_read_line(struct bytes *b, OSSL_CORE_BIO *bio);
/* Where |bio| says it is; negative if it does not know. bytes_go_to goes to
 * such a place, and returns whether |bio| says it is there. */
long bytes_place(OSSL_CORE_BIO *bio);
int bytes_go_to(OSSL_CORE_BIO *bio, long at);
/* bytes_read_first reads the first byte of |bio|, which says that it is at
 * |at|, and sets |b->can_seek| and |b->by_line|; returns as bytes_read. */
int bytes_read_first(struct bytes *b, OSSL_CORE_BIO *bio, long at);
/* Whether that is not the end, when a read has given nothing. */
int bytes_break_off(const struct bytes *b, OSSL_CORE_BIO *bio);

enum bytes_der {
    DER_NONE,
    DER_ALL,
    DER_TOO_LARGE, /* for a key: its beginning has been read */
    DER_CUT,       /* it breaks off, but not at the end */
    DER_NO_MEMORY
};

/* bytes_read_der reads one DER object; bytes_read_msblob a private key in
 * |form|, KEYLOAD_MSBLOB or KEYLOAD_PVK, in place of one. */
enum bytes_der bytes_read_der(struct bytes *b, OSSL_CORE_BIO *bio);
enum bytes_der bytes_read_msblob(struct bytes *b, OSSL_CORE_BIO *bio, int form);
/* bytes_skip reads |len| bytes, or what there is, for nothing. */
void bytes_skip(OSSL_CORE_BIO *bio, size_t len);
void bytes_free(struct bytes *b);

#endif
