/* entries_kem.c - encapsulation in an order that makes sense: by keys, and by
 * groups of TLS. The module is on both sides, so that the OpenSSL outside need
 * not know what the inner one does. */
#include "entries.h"

#include <openssl/params.h>

#include <string.h>

/* As the module's table has them: MLKEM512 to SecP384r1MLKEM1024. */
static const struct {
    int32_t number;
    uint16_t public_len, ciphertext_len, secret_len;
} groups[] = {{16, 800, 768, 32},   {17, 1184, 1088, 32}, {18, 1568, 1568, 32},
              {19, 1249, 1153, 64}, {20, 1216, 1120, 64}, {21, 1665, 1665, 80}};
#define GROUPS (sizeof(groups) / sizeof(groups[0]))

int32_t a_kem_group(void)
{
    return groups[pick(GROUPS)].number;
}

/* Now and then a byte is another one, or the end is missing. */
static bool damage(unsigned char *p, size_t *len)
{
    if (*len == 0 || !one_in(3)) {
        return false;
    }
    if (one_in(4)) {
        *len = pick((uint32_t)*len + 1);
    } else {
        p[pick((uint32_t)*len)] ^= (unsigned char)(1 + pick(255));
    }
    return true;
}

static const OSSL_PARAM *operation(const char *name)
{
    OSSL_PARAM *list = room(ROOM_PARAMS, 2 * sizeof(*list));
    char *value = room(ROOM_VALUES, strlen(name) + 1);

    strcpy(value, name);
    list[0] = OSSL_PARAM_construct_utf8_string("operation", value, 0);
    list[1] = (OSSL_PARAM)OSSL_PARAM_END;
    return list;
}

/* What ML-KEM does not ask for. */
static const OSSL_PARAM *how(bool *usual)
{
    *usual = *usual && !one_in(8);
    if (!*usual) {
        return a_list();
    }
    return operation(a_key_type() == KEY_EC || a_key_type() == KEY_X25519 ||
                             a_key_type() == KEY_X448
                         ? "DHKEM"
                         : "RSASVE");
}

/* A secret for a key, which has to come out again. */
static void by_key(void)
{
    uint64_t key = a_key_for(CTX_KEM);
    bool right = true;
    struct mpkprov_frame f = {.handle2 = key, .params = how(&right)};
    unsigned char secret[2048];
    unsigned char *out, *out2;
    size_t len, secret_len;

    if (do_frame(OP_kem_init, &f) != 1) {
        return;
    }
    f = (struct mpkprov_frame){.handle = f.handle};
    f.out_len = one_in(6) ? a_length() : 2048;
    f.out2_len = one_in(6) ? a_length() : 2048;
    /* In a race the frame says afterwards what nobody wrote. */
    f.out = out = room(ROOM_OUT, f.out_len);
    f.out2 = out2 = room(ROOM_OUT2, f.out2_len);
    if (do_frame(OP_kem_run, &f) != 1 || f.out_len > 2048 ||
        f.out2_len > sizeof(secret)) {
        return;
    }
    len = f.out_len;
    secret_len = f.out2_len;
    memcpy(secret, out2, secret_len);
    memcpy(room(ROOM_IN, 2048), out, len);
    right = !damage(room(ROOM_IN, 2048), &len) && right;
    f = (struct mpkprov_frame){.handle2 = key, .what = 1};
    f.params = how(&right);
    if (do_frame(OP_kem_init, &f) != 1) {
        return;
    }
    f = (struct mpkprov_frame){.handle = f.handle,
                               .in = room(ROOM_IN, 2048),
                               .in_len = len,
                               .out = room(ROOM_OUT, 2048),
                               .out_len = 2048};
    if (do_frame(OP_kem_run, &f) == 1 && right && !race_wanted()) {
        REQUIRE(f.out_len == secret_len &&
                memcmp(secret, room(ROOM_OUT, 2048), secret_len) == 0);
    }
}

/* A key of a group, and a secret for it. */
static void by_group(void)
{
    size_t i = pick(GROUPS), len = groups[i].public_len;
    unsigned char *public = room(ROOM_IN, 2048);
    unsigned char *out2 = room(ROOM_OUT2, 8192);
    struct mpkprov_frame f = {
        .type = groups[i].number, .out = room(ROOM_OUT, 8192), .out_len = 8192};
    bool at_once = one_in(2);
    uint64_t pair;

    if (do_frame(OP_group_gen, &f) != 1) {
        return;
    }
    pair = f.handle;
    memcpy(public, room(ROOM_OUT, 8192), len);
    damage(public, &len);
    f = (struct mpkprov_frame){.type = groups[i].number,
                               .in = public,
                               .in_len = len,
                               .out = room(ROOM_OUT, 8192),
                               .out_len = 8192,
                               .out2 = out2};
    if (do_frame(at_once ? OP_group_check : OP_group_encapsulate, &f) != 1) {
        return;
    }
    len = groups[i].ciphertext_len;
    memcpy(public,
           at_once ? out2 + groups[i].secret_len + 16 : room(ROOM_OUT, 8192),
           len);
    damage(public, &len);
    f = (struct mpkprov_frame){.handle = pair,
                               .type = groups[i].number,
                               .in = public,
                               .in_len = len,
                               .out = room(ROOM_OUT, 8192),
                               .out_len = 8192};
    if (one_in(4)) {
        a_follow(&f);
    }
    do_frame(OP_group_decapsulate, &f);
}

void story_of_kem(void)
{
    if (one_in(2)) {
        by_key();
    } else {
        by_group();
    }
}
