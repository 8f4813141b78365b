#ifndef MPK_TOOLS_JSON_H
#define MPK_TOOLS_JSON_H

/*
 * json_string writes |text| to standard output as a JSON string. UTF-8 stays as
 * it is, but for control characters. Bytes that are none are written as the
 * code points of the same number: a file name need not be UTF-8, JSON has to
 * be.
 */
void json_string(const char *text);

#endif
