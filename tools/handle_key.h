/*
 * The key of session secrets' handles, in a file: for ticket keys that live
 * longer than a process, or that several machines share.
 */
#ifndef MPK_TOOLS_HANDLE_KEY_H
#define MPK_TOOLS_HANDLE_KEY_H

/*
 * handle_key_check looks whether |path| is such a file, and for its owner only.
 * Returns 0, or -1 with what is wrong and what to do in |*why|.
 */
int handle_key_check(const char *path, const char **why);

#endif
