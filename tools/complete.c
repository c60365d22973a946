/* SPDX-License-Identifier: BSD-3-Clause */
/* Completion for the shells: what may stand at the end of a command line. */

#include <config.h>

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "complete.h"
#include "mblockctl.h"
#include "rpc.h"
#include "select.h"
#include "text.h"

/* A shell waits no longer for names. */
#define WAIT_MS 2000

/* ------------------------------------------------------------ candidates */

static const char *typed;       /* what the word begins with */
static size_t typed_len;
static const char *in_front;    /* what is printed before a candidate … */
static size_t in_front_len;     /* … this much of it */

static void
offer (const char *word)
{
  if (strncmp (word, typed, typed_len) != 0)
    return;
  fwrite (in_front, 1, in_front_len, stdout);
  fwrite (word, 1, strlen (word) + 1, stdout);
}

static void
offer_words (const char *(*word) (size_t i))
{
  size_t i;

  for (i = 0; word (i); i++)
    offer (word (i));
}

/* Several words, separated by "|". */
static void
offer_list (const char *list)
{
  while (*list) {
    size_t len = strcspn (list, "|");
    char *word = text_format ("%.*s", (int) len, list);

    offer (word);
    free (word);
    list += len + (list[len] != '\0');
  }
}

/* ------------------------------------------------- what the server knows */

static void
offer_disks (void)
{
  json_auto_t *all = rpc_all_pages (&pages_list, NULL);
  json_t *disks = need_array (all, "disks"), *d;
  size_t i;

  select_sort (disks);
  json_array_foreach (disks, i, d)
    if (*need_string (d, "name"))
      offer (need_string (d, "name"));
}

/* A member of each object of an array of a method's result: a string, or a
 * number.
 */
static void
offer_members (const char *method, const char *array, const char *key)
{
  json_auto_t *result = rpc_try (method, NULL);
  const json_t *o, *v;
  size_t i;

  json_array_foreach (json_object_get (result, array), i, o) {
    v = json_object_get (o, key);
    if (json_is_integer (v)) {
      char *n = text_format ("%" PRId64, (int64_t) json_integer_value (v));

      offer (n);
      free (n);
    }
    else if (json_is_string (v) && json_string_length (v) > 0)
      offer (json_string_value (v));
  }
}

static void
offer_exports (void)
{
  offer_members ("mirror_status", "mirrors", "export");
  offer_members ("cache_status", "caches", "export");
}

static void
offer_methods (void)
{
  offer_members ("help", "methods", "name");
}

static void
offer_jobs (void)
{
  offer_members ("job_list", "jobs", "job");
}

static void
offer_clients (void)
{
  offer_members ("client_list", "clients", "id");
}

/* -------------------------------------------------- what the tool knows */

static void
offer_commands (void)
{
  const struct command *c;
  size_t i;

  for (i = 0; (c = command_at (i)) != NULL; i++)
    offer (c->name);
}

static void
offer_columns (void)
{
  offer_words (list_column_word);
}

/* "name,size": the last one. */
static void
offer_last_column (void)
{
  const char *comma = strrchr (typed, ',');

  if (comma == NULL) {
    offer_columns ();
    return;
  }
  in_front_len += comma + 1 - typed;
  typed_len -= comma + 1 - typed;
  typed = comma + 1;
  offer_columns ();
}

static void
offer_sorts (void)
{
  offer_words (top_sort_word);
}

static void
offer_events (void)
{
  offer_words (watch_event_word);
}

/* ---------------------------------------------------------- placeholders */

enum kind { NOTHING, FILES, WORDS, ASK };

static const struct placeholder {
  const char *command;          /* NULL: of any command not listed with it */
  const char *word;             /* in the usage line, or an option's value */
  enum kind kind;
  const char *words;            /* of WORDS, separated by "|" */
  void (*ask) (void);           /* of ASK */
} placeholders[] = {
  { "create", "NAME", NOTHING, NULL, NULL },
  { "create", "SOURCE", FILES, NULL, NULL },
  { "snapshot", "SNAPSHOT", NOTHING, NULL, NULL },
  { "load", "PATTERN", NOTHING, NULL, NULL },
  { "mirror", "RATE", WORDS, "none", NULL },
  { NULL, "A", ASK, NULL, offer_disks },
  { NULL, "ACTION", WORDS, "error|ignore|replace", NULL },
  { NULL, "ADDR:PORT", NOTHING, NULL, NULL },
  { NULL, "B", ASK, NULL, offer_disks },
  { NULL, "COLUMN", ASK, NULL, offer_columns },
  { NULL, "COMMAND", ASK, NULL, offer_commands },
  { NULL, "DEST", FILES, NULL, NULL },
  { NULL, "DIR", FILES, NULL, NULL },
  { NULL, "EVENT", ASK, NULL, offer_events },
  { NULL, "EXPORT", ASK, NULL, offer_exports },
  { NULL, "FORMAT", WORDS, "raw|qcow2", NULL },
  { NULL, "ID", ASK, NULL, offer_clients },
  { NULL, "JOB", ASK, NULL, offer_jobs },
  { NULL, "KEY", ASK, NULL, offer_sorts },
  { NULL, "LENGTH", NOTHING, NULL, NULL },
  { NULL, "LIST", ASK, NULL, offer_last_column },
  { NULL, "METHOD", ASK, NULL, offer_methods },
  { NULL, "N", NOTHING, NULL, NULL },
  { NULL, "NAME", ASK, NULL, offer_disks },
  { NULL, "NEW-NAME", NOTHING, NULL, NULL },
  { NULL, "OFFSET", NOTHING, NULL, NULL },
  { NULL, "PARAMS", NOTHING, NULL, NULL },
  { NULL, "PATTERN", ASK, NULL, offer_disks },
  { NULL, "SECONDS", NOTHING, NULL, NULL },
  { NULL, "SIZE", NOTHING, NULL, NULL },
  { NULL, "+SIZE", NOTHING, NULL, NULL },
  { NULL, "-SIZE", NOTHING, NULL, NULL },
  { NULL, "SNAPSHOT", ASK, NULL, offer_disks },
  { NULL, "SOCKET", FILES, NULL, NULL },
  { NULL, "SOURCE", ASK, NULL, offer_disks },
  { NULL, "URI", NOTHING, NULL, NULL },
  { NULL, "WHEN", WORDS, "auto|always|never", NULL },
};

static const struct placeholder *
find_placeholder (const struct command *c, const char *word)
{
  size_t i;

  for (i = 0; i < sizeof placeholders / sizeof *placeholders; i++) {
    const struct placeholder *p = &placeholders[i];

    if (strcmp (p->word, word) == 0 &&
        (p->command == NULL || (c && strcmp (p->command, c->name) == 0)))
      return p;
  }
  fail (USAGE, "completion does not know what %s stands for", word);
}

/* Does a word of a usage line stand for itself? */
static bool
is_literal (const char *word)
{
  return islower ((unsigned char) *word);
}

/* Offer what one alternative of a usage line's word stands for. */
static void
offer_alternative (const struct command *c, const char *word)
{
  const struct placeholder *p;

  if (is_literal (word)) {
    offer (word);
    return;
  }
  p = find_placeholder (c, word);
  if (p->kind == WORDS)
    offer_list (p->words);
  else if (p->kind == ASK)
    p->ask ();
}

/* The kind of answer (complete.h) that a usage line's word needs. */
static const char *
answer_kind (const struct command *c, const char *word, bool attached)
{
  if (is_literal (word) || find_placeholder (c, word)->kind != FILES)
    return "words";
  return attached ? "prefix-files" : "files";
}

static void
begin (const char *kind)
{
  fputs (kind, stdout);
  putchar ('\0');
}

/* Offer what an argument or an option's value may be: its alternatives as the
 * usage line has them, such as "NAME|PATTERN" or "SIZE|none".  Both NAME and
 * PATTERN are disks, which are offered once.
 */
static void
offer_argument (const struct command *c, const char *usage, bool attached)
{
  bool begun = false, asked = false;

  while (*usage) {
    size_t len = strcspn (usage, "|");
    char *word = text_format ("%.*s", (int) len, usage);

    if (!begun)
      begin (answer_kind (c, word, attached));
    begun = true;
    if (is_literal (word) || find_placeholder (c, word)->kind != ASK)
      offer_alternative (c, word);
    else if (!asked) {
      offer_alternative (c, word);
      asked = true;
    }
    free (word);
    usage += len + (usage[len] != '\0');
  }
  if (!begun)
    begin ("words");
}

/* --------------------------------------------------------- the usage line */

/* One form of a usage line, such as "cancel JOB...", in words without brackets
 * and dots.
 */
#define FORM_WORDS 8
struct form {
  char *word[FORM_WORDS];
  size_t n;
  bool repeats;                 /* the last word does */
};

static void
parse_form (struct form *f, const char *usage, size_t len)
{
  const char *end = usage + len;

  *f = (struct form) { .n = 0 };
  while (usage < end && f->n < FORM_WORDS) {
    size_t n, most;

    while (usage < end && strchr (" []", *usage))
      usage++;
    most = end - usage;
    n = strcspn (usage, " ].");
    if (n > most)
      n = most;
    if (n == 0)
      break;
    f->word[f->n++] = text_format ("%.*s", (int) n, usage);
    usage += n;
    f->repeats = usage < end && (*usage == '.' ||
                                 strncmp (usage, "]...", 4) == 0);
    while (usage < end && strchr (".]", *usage))
      usage++;
  }
}

static void
free_form (struct form *f)
{
  while (f->n)
    free (f->word[--f->n]);
}

/* Is word one of the literal words of a usage line's word? */
static bool
is_one_of (const char *word, const char *usage)
{
  size_t len = strlen (word);

  for (;;) {
    size_t n = strcspn (usage, "|");

    if (n == len && strncmp (usage, word, n) == 0)
      return true;
    if (usage[n] == '\0')
      return false;
    usage += n + 1;
  }
}

/* The usage line: forms separated by " | ". */
static const char *
forms_of (const struct command *c)
{
  return c == &command_mirror ? mirror_forms : c->arguments;
}

/* Offer argument n, after the argument `first`, which is NULL if n is 0. */
static void
offer_positional (const struct command *c, size_t n, const char *first)
{
  const char *usage = forms_of (c);
  char *all = text_format ("%s", ""), *more;

  while (*usage) {
    const char *bar = strstr (usage, " | ");
    size_t len = bar ? (size_t) (bar - usage) : strlen (usage);
    struct form f;

    parse_form (&f, usage, len);
    if (f.n > 0 && (n < f.n || f.repeats) &&
        (n == 0 || !is_literal (f.word[0]) || is_one_of (first, f.word[0]))) {
      more = text_format ("%s%s%s", all, *all ? "|" : "",
                          f.word[n < f.n ? n : f.n - 1]);
      free (all);
      all = more;
    }
    free_form (&f);
    usage += len + (bar ? 3 : 0);
  }
  offer_argument (c, all, false);
  free (all);
}

/* ------------------------------------------------------ the command line */

struct line {
  const struct command *command;
  const char *value_of;         /* the usage of an option whose value follows */
  const char *first;            /* argument */
  size_t n;                     /* arguments */
  bool plain;                   /* after "--" */
};

/* bash does not expand a tilde in a word that is being completed. */
static const char *
expand (const char *path)
{
  const char *home = getenv ("HOME");

  if (strncmp (path, "~/", 2) != 0 || home == NULL)
    return path;
  return text_format ("%s/%s", home, path + 2); /* kept to the end */
}

static void
note_value (const struct option_def *o, const char *value)
{
  if (strcmp (o->name, "socket") == 0)
    settings.socket = expand (value);
}

/* An option with its value attached, or without one.  Its value is then the
 * next word.
 */
static const struct option_def *
read_option (const struct line *l, const char *word)
{
  const struct option_def *o;
  size_t len;

  if (word[1] == '-') {
    len = strcspn (word + 2, "=");
    o = len ? option_find (l->command, word + 2, len) : NULL;
    if (o == NULL || o->arg == NULL)
      return NULL;
    if (word[2 + len] == '\0')
      return o;
    note_value (o, word + 2 + len + 1);
    return NULL;
  }
  for (word++; *word; word++) {
    o = option_find (l->command, word, 0);
    if (o == NULL || o->arg == NULL)
      continue;
    if (word[1] == '\0')
      return o;
    note_value (o, word + 1);
    return NULL;
  }
  return NULL;
}

/* Read the words before the last one. */
static void
read_line (struct line *l, char **words)
{
  const struct option_def *o = NULL;

  *l = (struct line) { .n = 0 };
  for (; words[1]; words++) {
    const char *word = *words;

    if (o) {
      if (strcmp (word, "=") == 0)
        continue;               /* "--option" "=" "value" */
      note_value (o, word);
      o = NULL;
    }
    else if (!l->plain && strcmp (word, "--") == 0)
      l->plain = true;
    else if (!l->plain && option_like (l->command, word))
      o = read_option (l, word);
    else if (l->command == NULL) {
      l->command = command_find (word);
      if (l->command == NULL)
        exit (finish_output (DONE));    /* nothing is known of it */
    }
    else if (l->n++ == 0)
      l->first = word;
  }
  l->value_of = o ? o->arg : NULL;
}

static void
offer_options (const struct line *l)
{
  const struct option_def *o;
  const char *action = l->first ? l->first : "";
  size_t i;

  begin ("words");
  for (i = 0; (o = option_at (l->command, i)) != NULL; i++) {
    char *word = text_format ("--%s%s", o->name, o->arg ? "=" : "");

    if (l->command != &command_mirror || mirror_takes (action, o->name))
      offer (word);
    free (word);
  }
}

/* "--option=val": the candidates are whole words. */
static bool
offer_attached (const struct line *l)
{
  const struct option_def *o;
  const char *eq = strchr (typed, '=');

  if (l->plain || strncmp (typed, "--", 2) != 0 || eq == NULL)
    return false;
  o = option_find (l->command, typed + 2, eq - typed - 2);
  if (o == NULL || o->arg == NULL)
    return true;
  in_front_len = eq + 1 - typed;
  typed = eq + 1;
  typed_len -= in_front_len;
  offer_argument (l->command, o->arg, true);
  return true;
}

int
complete (char **words)
{
  static char none[] = "", *nothing[] = { none, NULL };
  struct line l;

  settings.json = false;
  settings.quiet = true;
  settings.timeout_ms = WAIT_MS;
  if (*words == NULL)
    words = nothing;
  read_line (&l, words);
  while (words[1])
    words++;
  typed = in_front = *words;
  typed_len = strlen (typed);
  if (l.value_of) {
    if (strcmp (typed, "=") == 0) {
      typed++;
      typed_len--;
    }
    offer_argument (l.command, l.value_of, false);
  }
  else if (offer_attached (&l))
    ;
  else if (!l.plain && *typed == '-' && !isdigit ((unsigned char) typed[1]))
    offer_options (&l);
  else if (l.command == NULL) {
    begin ("words");
    offer_commands ();
  }
  else
    offer_positional (l.command, l.n, l.first);
  return DONE;
}
