/* SPDX-License-Identifier: BSD-3-Clause */
/* Which disks a command's arguments mean: names, or patterns of names. */

#ifndef MBLOCKCTL_SELECT_H
#define MBLOCKCTL_SELECT_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

/* For the options of a command that calls select_names. */
#define LITERAL_OPTION                                                       \
  { 'F', "literal", NULL, "take arguments as names, never as patterns" }

/* End with USAGE if an argument is not a pattern. */
void select_check (int argc, char **argv);

/* Does the name match one of them?  Without patterns every name does. */
bool select_wants (const char *name, int argc, char **argv);

/* Complain that no disk has a name, or matches a pattern, that was typed.
 * Returns the error for JSON, a new reference.
 */
json_t *select_no_match (int argc, char **argv);

/* Is there a disk that select_wants? */
bool select_exists (int argc, char **argv);

/* Compare names in the order in which people count: vm-2 before vm-10.  Returns
 * a value as strcmp(3) does.
 */
int select_compare (const char *a, const char *b);

/* Sort an array of objects by their "name" in that order. */
void select_sort (json_t *disks);

/* The names that the arguments mean, each once.  An argument with a wildcard is
 * a pattern, unless a disk has exactly that name.  Any other argument is a
 * name, whether or not a disk has it.  A pattern that matches no disk is
 * reported and added to failures, for batch_failures, unless failures is NULL.
 * Returns a new reference.
 */
json_t *select_names (int argc, char **argv, json_t *failures);

#endif /* MBLOCKCTL_SELECT_H */
