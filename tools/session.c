#include "session.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <string.h>

#include "file.h"
#include "mpkctl.h"

#define SESSION_FILE_MAX ((size_t)1 << 20)

/* What a session of OpenSSL can have: a hash's length, or 48. */
#define SECRET_MIN 16

static SSL_SESSION *decode(const char *text, size_t len)
{
    BIO *bio = BIO_new_mem_buf(text, (int)len);
    SSL_SESSION *ssl = NULL;

    if (bio != NULL) {
        ssl = PEM_read_bio_SSL_SESSION(bio, NULL, NULL, NULL);
    }
    BIO_free(bio);
    ERR_clear_error();
    return ssl;
}

static int take(struct session *out, const SSL_SESSION *ssl)
{
    out->tls13 = SSL_SESSION_get_protocol_version(ssl) >= TLS1_3_VERSION;
    out->secret_len =
        SSL_SESSION_get_master_key(ssl, out->secret, sizeof(out->secret));
    return out->secret_len < SECRET_MIN ? -1 : 0;
}

int session_load(struct session *out, const char *path)
{
    SSL_SESSION *ssl = NULL;
    char *text = NULL;
    size_t len;
    int err = file_load(path, SESSION_FILE_MAX, &text, &len);

    memset(out, 0, sizeof(*out));
    out->path = path;
    if (err != 0) {
        mpkctl_error("cannot read the session file %s: %s", path,
                     strerror(-err));
        return -1;
    }
    ssl = decode(text, len);
    file_free(text, len);
    err = ssl == NULL ? -1 : take(out, ssl);
    if (err != 0) {
        mpkctl_error("no TLS session in %s (expected PEM, as \"openssl "
                     "s_client -sess_out\" writes it)",
                     path);
    }
    SSL_SESSION_free(ssl);
    return err;
}

void session_free(struct session *s)
{
    OPENSSL_cleanse(s, sizeof(*s));
}
