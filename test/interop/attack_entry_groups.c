/*
 * attack_entry_groups.c - what frames ask of the groups of TLS: keys of other
 * lengths and forms, groups that there are not, a private number twice.
 *
 * Seen to fail without each check, but for those of ciphertexts, which need an
 * inner OpenSSL with ML-KEM.
 */
#include "attack_entry.h"

#include <limits.h>
#include <string.h>

#define LENGTH "the peer's key has another length"

/* Longer than any key, and than a stack inside. */
static unsigned char peer[1 << 20];

static struct mpkprov_frame f;

static const char *ask(uint32_t op, const char *what, int group, size_t len)
{
    f.type = group;
    f.in = peer;
    f.in_len = len;
    f.out = room;
    f.out_len = sizeof(room);
    f.error.text[0] = '\0';
    return try_op(op, what, &f) == 1 ? "" : f.error.text;
}

/* A pair: its handle, and its public key to |public|. */
static uint64_t pair(int group, unsigned char *public, size_t *len)
{
    f = (struct mpkprov_frame){
        .type = group, .out = public, .out_len = GROUP_PUBLIC_MAX};
    CHECK_INT(try_op(OP_group_gen, "a pair", &f), 1);
    *len = f.out_len;
    return f.handle;
}

static const char *derived(uint64_t own, size_t len)
{
    f = (struct mpkprov_frame){.handle = own};
    return ask(OP_group_derive, "a secret", 0, len);
}

/* Each entry that takes a peer's key. */
static void refuse(int group, size_t len, const char *why)
{
    unsigned char public[GROUP_PUBLIC_MAX];
    size_t n;

    f = (struct mpkprov_frame){0};
    CHECK(strstr(ask(OP_group_check, "a look", group, len), why) != NULL);
    f = (struct mpkprov_frame){.out2 = room2};
    CHECK(strstr(ask(OP_group_encapsulate, "a secret for a peer", group, len),
                 why) != NULL ||
          strcmp(f.error.text, "no such group") == 0);
    CHECK(strstr(derived(pair(group, public, &n), len), why) != NULL);
    f = (struct mpkprov_frame){.out2 = room2};
    CHECK_STR(ask(OP_group_gen, "a pair for a peer's key", group, len), "");
    CHECK(f.handle != 0);
    call(OP_group_free, &f);
}

static int is_kem(int group)
{
    f = (struct mpkprov_frame){0};
    return strcmp(ask(OP_group_encapsulate, "a group", group, 0),
                  "no such group") != 0;
}

static void ciphertexts_have_a_length(int group)
{
    unsigned char public[GROUP_PUBLIC_MAX];
    size_t len;
    uint64_t own = pair(group, public, &len);

    f = (struct mpkprov_frame){.handle = own, .out2 = room2};
    CHECK_STR(ask(OP_group_decapsulate, "a ciphertext", group, sizeof(peer)),
              "a ciphertext of another length");
    memcpy(peer, public, len);
    f = (struct mpkprov_frame){.type = group,
                               .in = peer,
                               .in_len = len,
                               .out = room,
                               .out_len = 31,
                               .out2 = room2};
    CHECK(try_op(OP_group_encapsulate, "no room for a ciphertext", &f) != 1);
    CHECK_INT(f.error.reason, MPKPROV_R_BUFFER);
}

/* What is longer would be written over return addresses. X25519 takes any 32
 * bytes: there is nothing to look at, and no key of the inner OpenSSL's. */
static void keys_have_the_length_of_their_group(int group)
{
    unsigned char public[GROUP_PUBLIC_MAX];
    size_t len;

    f = (struct mpkprov_frame){.handle = pair(group, public, &len)};
    call(OP_group_free, &f);
    if (is_kem(group)) {
        ciphertexts_have_a_length(group);
        return;
    }
    memcpy(peer, public, len);
    f = (struct mpkprov_frame){0};
    if (strstr(ask(OP_group_check, "a look", group, len), "takes any") !=
        NULL) {
        CHECK_STR(derived(pair(group, public, &len), 0), LENGTH);
        CHECK_STR(derived(pair(group, public, &len), len - 1), LENGTH);
        CHECK_STR(derived(pair(group, public, &len), sizeof(peer)), LENGTH);
        return;
    }
    CHECK_STR(f.error.text, "");
    refuse(group, 0, LENGTH);
    refuse(group, len + 1, LENGTH);
    refuse(group, sizeof(peer), LENGTH);
    refuse(group, len - 1, "another form");
    if (len % 2 != 0) { /* a point */
        peer[0] = 5;
        refuse(group, len, "another form");
        peer[0] = 0;
        refuse(group, 1, "another form");
    }
}

/* Also when that has failed, or was something else. */
static void private_numbers_are_used_once(int group)
{
    static const char spent[] = "not an ephemeral key, or a spent one";
    unsigned char public[GROUP_PUBLIC_MAX];
    uint64_t own;
    size_t len;

    if (is_kem(group)) {
        return;
    }
    own = pair(group, public, &len);
    memcpy(peer, public, len);
    CHECK_STR(derived(own, len), "");
    CHECK_STR(derived(own, len), spent);
    own = pair(group, public, &len);
    CHECK_STR(derived(own, len + 1), LENGTH);
    CHECK_STR(derived(own, len), spent);
    own = pair(group, public, &len);
    f = (struct mpkprov_frame){.handle = own, .out2 = room2};
    CHECK_STR(ask(OP_group_decapsulate, "a ciphertext", group, len),
              "not a key for encapsulation");
    CHECK_STR(derived(own, len), spent);
}

static uint64_t groups(void)
{
    f = (struct mpkprov_frame){0};
    CHECK_INT(call(OP_group_there, &f), 1);
    return f.handle;
}

static void there_are_no_other_groups(void)
{
    static const uint32_t ops[] = {OP_group_gen, OP_group_check,
                                   OP_group_encapsulate, OP_group_prime};
    static const int none[] = {-1,      TLS_GROUPS_MAX, -(1 << 20),
                               1 << 20, INT_MIN,        INT_MAX};

    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        for (size_t o = 0; o < sizeof(ops) / sizeof(ops[0]); o++) {
            f = (struct mpkprov_frame){0};
            CHECK(strstr(ask(ops[o], "a group", none[i], 32), "group") != NULL);
        }
    }
}

static void test_each(void (*body)(int group))
{
    uint64_t there = groups();

    for (int i = 0; i < TLS_GROUPS_MAX; i++) {
        if (there >> i & 1) {
            body(i);
        }
    }
}

static void keys_have_lengths(void)
{
    test_each(keys_have_the_length_of_their_group);
}

static void private_numbers_are_used(void)
{
    test_each(private_numbers_are_used_once);
}

void test_what_is_asked_of_groups(void)
{
    test_in_a_child(there_are_no_other_groups);
    test_in_a_child(keys_have_lengths);
    test_in_a_child(private_numbers_are_used);
}
