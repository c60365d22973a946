/* SPDX-License-Identifier: BSD-3-Clause */
/* Which disks a command's arguments mean: names, or patterns of names. */

#ifndef MBLOCKCTL_SELECT_H
#define MBLOCKCTL_SELECT_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

/* For the options of a command that takes NAME|PATTERN. */
#define LITERAL_OPTION                                                       \
  { 'F', "literal", NULL, "take arguments as names, never as patterns" }

/* End with USAGE if an argument cannot be a name. */
void select_check (int argc, char **argv);

/* The same for a command that takes either arguments or --total. */
void select_check_or_total (int argc, char **argv);

/* End with USAGE if an argument with a wildcard is not a valid pattern, even if
 * a disk could have that name.
 */
void select_check_patterns (int argc, char **argv);

/* Those keys of the object `names` that the arguments mean, as keys of a new
 * object; without arguments, all.  An argument with a wildcard is a pattern,
 * unless names has exactly that key.  Arguments that mean none are appended to
 * unmatched.  Ends with USAGE if an argument is not a valid pattern.
 */
json_t *select_among (const json_t *names, int argc, char **argv,
                      json_t *unmatched);

/* Add the strings under key of an array of objects as keys to names. */
void select_add_names (json_t *names, const json_t *objects, const char *key);

/* Keep only the objects of an array whose string under key is chosen. */
void select_keep (json_t *objects, const char *key, const json_t *chosen);

/* These three together, for objects that are all there are.  Returns the
 * arguments that mean none of them: a new reference.
 */
json_t *select_filter (json_t *objects, const char *key, int argc,
                       char **argv);

/* Complain that no disk, or what they are, matches these arguments.  Returns
 * the error for JSON, a new reference; NULL if there are no such arguments.
 */
json_t *select_no_match (const json_t *unmatched, const char *what);

/* The same for one argument of a command that prints an array: the error is
 * appended to failures.
 */
void select_add_failure (json_t *failures, const char *argument);

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
