/* SPDX-License-Identifier: BSD-3-Clause */
/* Lines for nbdkit's log from code that does not know nbdkit: the engines and
 * the control socket.
 *
 * Foreign text in them is escaped already (base/printable.h).  Lines are
 * escaped here again, which does not change escaped text.  So even text that
 * was truncated, or that somebody forgot to escape, cannot forge a line.
 */

#ifndef MBLOCK_LOG_H
#define MBLOCK_LOG_H

/* An error, which nbdkit always logs. */
void log_error_line (const char *line);

/* For nbdkit's -v. */
void log_debug_line (const char *line);

#endif /* MBLOCK_LOG_H */
