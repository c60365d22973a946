/* SPDX-License-Identifier: BSD-3-Clause */
/* Completion for the shells: which words may stand at the end of a command
 * line.
 *
 * Everything follows from the table of commands: from the usage line of a
 * command ("NAME|PATTERN...") and from its options ("--since SNAPSHOT").  A
 * word of a usage line in capitals is a placeholder; complete.c has a table of
 * what each stands for, and completion fails for a placeholder that it does not
 * know, so that a new one is not forgotten.
 */

#ifndef MBLOCKCTL_COMPLETE_H
#define MBLOCKCTL_COMPLETE_H

#include <stdbool.h>
#include <stddef.h>

/* The words that stand for themselves: the i-th, or NULL beyond the last. */
const char *list_column_word (size_t i);
const char *top_sort_word (size_t i);
const char *watch_event_word (size_t i);

/* The usage line of mirror, whose arguments depend on the action; and whether
 * an action takes an option.  Options of all commands are taken by each, and
 * all options by an action that does not exist.
 */
extern const char mirror_forms[];
bool mirror_takes (const char *action, const char *option);

#endif /* MBLOCKCTL_COMPLETE_H */
