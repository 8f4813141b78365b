/*
 * remains.c - attacks on what an operation leaves behind: registers and the
 * frame of a signal. 64-bit words of the key are looked for.
 */
#include "attack.h"
#include "needles.h"

#include "../../mpkcore/x86_64/cpu.h"
#include "../unit/gate_abi.h"

#include <openssl/evp.h>

static EVP_MD_CTX *ready;
static unsigned char signature[512];
static size_t signature_len;

static void sign_now(void)
{
    signature_len = sizeof(signature);
    EVP_DigestSign(ready, signature, &signature_len,
                   (const unsigned char *)"msg", 3);
}

/* One signature on abi_stack; afterwards abi_out and abi_vectors have what was
 * in the registers when it returned. */
static void sign_and_look(void)
{
    victim_load();
    ready = EVP_MD_CTX_new();
    if (EVP_DigestSignInit(ready, NULL, EVP_sha256(), NULL, victim.key) != 1) {
        trouble("EVP_DigestSignInit");
    }
    abi_cpu = cpu_vectors();
    abi_call(sign_now, 0, NULL, 0);
    if (signature_len != 256) {
        trouble("EVP_DigestSign");
    }
}

static _Noreturn void report(size_t words)
{
    cell(words != 0 ? "**key found**" : "nothing found");
}

static void look_at_registers(void)
{
    sign_and_look();
    report(needles_words(&abi_out, sizeof(abi_out)) +
           needles_words(&abi_vectors, sizeof(abi_vectors)));
}

/* What libcrypto multiplies with is for the CPU to say. With AVX-512 nine
 * frames in ten have a word of the key in them; with AVX2, one in 30 or one in
 * 500, by what else there is; with none of it, as here, one in four. */
#define PLAIN_NUMBERS ":~0xd02b0120"

static void look_at_signal_frames(void)
{
    victim_load();
    frames_watch();
    while (frames_go_on()) {
        victim_sign();
    }
    report(frames_words());
}

const struct attack remains_attacks[] = {
    {"registers", "registers",
     "looks at all of them, vectors too, when a signature is made", KEYS,
     look_at_registers,
     .want = {"**key found**|nothing found", "nothing found", "nothing found"}},
    {"frame", "signal frames",
     "interrupts signatures and looks at the registers in the frame", KEYS,
     look_at_signal_frames,
     .want = {"**key found**", "nothing found", "nothing found"},
     .stock_35 = "**key found**|nothing found", .stock_ia32cap = PLAIN_NUMBERS},
    {0},
};
