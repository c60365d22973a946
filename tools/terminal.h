/* SPDX-License-Identifier: BSD-3-Clause */
/* The terminal: its size, and a full-screen mode that is always restored.
 *
 * It uses plain termios and the control sequences that every terminal since the
 * VT100 supports (and xterm's alternate screen, which others ignore).  So it
 * works over ssh and needs no terminal library.
 */

#ifndef MBLOCKCTL_TERMINAL_H
#define MBLOCKCTL_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The size of stdout's terminal, or of stderr's, or COLUMNS and LINES, or 80 by
 * 24.
 */
size_t terminal_width (void);
size_t terminal_height (void);

/* Does TERM say that it takes no control sequences? */
bool terminal_is_dumb (void);

/* Enter full-screen mode: alternate screen, no cursor, keys without echo.  It
 * is left by terminal_leave, at exit, and when a signal ends or stops the
 * program.
 */
void terminal_enter (void);
void terminal_leave (void);

enum terminal_event {
  TERMINAL_TIMEOUT,             /* nothing happened until the deadline */
  TERMINAL_FD,                  /* the file descriptor can be read */
  TERMINAL_KEY,
  TERMINAL_REDRAW,              /* new size, or back from being stopped */
};

enum {                          /* keys that are not characters */
  KEY_UP = 256, KEY_DOWN, KEY_PAGE_UP, KEY_PAGE_DOWN, KEY_HOME, KEY_END,
  KEY_LEFT, KEY_RIGHT, KEY_OTHER,
};

/* Wait for one of these events.  fd may be -1.  A signal that ends the program
 * does so within this call.
 */
enum terminal_event terminal_wait (int fd, int64_t deadline, int *key);

/* Write all of it to the screen. */
void terminal_write (const char *s, size_t len);

#endif /* MBLOCKCTL_TERMINAL_H */
