#include <string.h>
#include <strings.h>

#include "config/doc.h"

/* Letters, digits and a few signs: a scalar that YAML reads the same without quotes. */
static bool is_word(const char *text)
{
	static const char begin[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
	size_t sign = text[0] == '-' && text[1] >= '0' && text[1] <= '9';

	return text[sign] && strchr(begin, text[sign]) &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-%") ==
		       strlen(text) &&
	       strcasecmp(text, "null") != 0;
}

static void put_quoted(FILE *to, const char *text)
{
	fputc('"', to);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fprintf(to, "\\%c", *text);
		else if ((unsigned char)*text < 0x20)
			fprintf(to, "\\x%02x", (unsigned char)*text);
		else
			fputc(*text, to);
	}
	fputc('"', to);
}

static void put_text(FILE *to, const char *text, bool quoted)
{
	if (!quoted && is_word(text))
		fputs(text, to);
	else
		put_quoted(to, text);
}

void doc_print_flow(FILE *to, const struct doc_node *node)
{
	if (node->kind == DOC_SCALAR) {
		put_text(to, node->text, node->quoted);
		return;
	}
	fputc(node->kind == DOC_MAP ? '{' : '[', to);
	for (const struct doc_node *n = node->first; n; n = n->next) {
		if (n->key) {
			put_text(to, n->key, false);
			fputs(": ", to);
		}
		doc_print_flow(to, n);
		if (n->next)
			fputs(", ", to);
	}
	fputc(node->kind == DOC_MAP ? '}' : ']', to);
}
