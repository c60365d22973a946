/* SPDX-License-Identifier: BSD-3-Clause */
/* The terminal: its size, and a full-screen mode that is always restored.
 *
 * Signals are blocked in full-screen mode and delivered only where the program
 * waits, so that no other code has to expect them.
 */

#include <config.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "terminal.h"

#define DEFAULT_WIDTH 80
#define DEFAULT_HEIGHT 24
#define MOST 10000              /* the valid range of COLUMNS and LINES */

/* The rest of a key's sequence arrives within this many ms, even over ssh.
 * Otherwise it was the Escape key alone.
 */
#define ESCAPE_WAIT 50

/* Alternate screen, no cursor, no wrapping of long lines; and the way back. */
#define ENTER "\033[?1049h\033[?25l\033[?7l\033[2J"
#define LEAVE "\033[0m\033[?7h\033[?25h\033[?1049l"

static const int ending[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
static const int crashing[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };

#define N(array) (sizeof (array) / sizeof *(array))

static struct {
  volatile sig_atomic_t taken;  /* we are in full-screen mode */
  bool keys;                    /* stdin is a terminal */
  struct termios saved;
  sigset_t outside;             /* the signal mask while waiting */
} term;

static volatile sig_atomic_t got_end, got_stop, got_redraw;

static size_t
dimension (bool width)
{
  const char *s = getenv (width ? "COLUMNS" : "LINES");
  struct winsize ws;
  long n;

  if (ioctl (STDOUT_FILENO, TIOCGWINSZ, &ws) == 0 ||
      ioctl (STDERR_FILENO, TIOCGWINSZ, &ws) == 0) {
    n = width ? ws.ws_col : ws.ws_row;
    if (n > 0)
      return n;
  }
  n = s ? atol (s) : 0;
  if (n > 0 && n <= MOST)
    return n;
  return width ? DEFAULT_WIDTH : DEFAULT_HEIGHT;
}

size_t
terminal_width (void)
{
  return dimension (true);
}

size_t
terminal_height (void)
{
  return dimension (false);
}

bool
terminal_is_dumb (void)
{
  const char *s = getenv ("TERM");

  return s == NULL || *s == '\0' || strcmp (s, "dumb") == 0;
}

static void
on_signal (int sig)
{
  if (sig == SIGTSTP)
    got_stop = 1;
  else if (sig == SIGWINCH || sig == SIGCONT)
    got_redraw = 1;
  else
    got_end = sig;
}

/* SA_RESETHAND has restored the default action. */
static void
on_crash (int sig)
{
  terminal_leave ();
  raise (sig);
}

/* Signals that our parent ignores stay ignored. */
static void
catch_signal (int sig)
{
  struct sigaction sa = { .sa_handler = on_signal }, old;

  sigaction (sig, NULL, &old);
  if (old.sa_handler == SIG_IGN)
    return;
  sigemptyset (&sa.sa_mask);
  sigaction (sig, &sa, NULL);
}

static void
set_up_signals (void)
{
  struct sigaction crash = { .sa_handler = on_crash,
                             .sa_flags = SA_RESETHAND | SA_NODEFER };
  sigset_t block;
  size_t i;

  sigemptyset (&block);
  for (i = 0; i < N (ending); i++) {
    sigaddset (&block, ending[i]);
    catch_signal (ending[i]);
  }
  sigaddset (&block, SIGTSTP);
  sigaddset (&block, SIGCONT);
  sigaddset (&block, SIGWINCH);
  catch_signal (SIGTSTP);
  catch_signal (SIGCONT);
  catch_signal (SIGWINCH);
  sigprocmask (SIG_BLOCK, &block, &term.outside);

  sigemptyset (&crash.sa_mask);
  for (i = 0; i < N (crashing); i++)
    sigaction (crashing[i], &crash, NULL);
}

/* In the background this call stops the program, before anything was changed.
 */
static void
set_mode (void)
{
  struct termios t = term.saved;

  t.c_lflag &= ~(ICANON | ECHO);
  t.c_cc[VMIN] = 1;
  t.c_cc[VTIME] = 0;
  if (term.keys)
    tcsetattr (STDIN_FILENO, TCSADRAIN, &t);
}

static void
write_all (const char *s, size_t len)
{
  while (len > 0) {
    ssize_t n = write (STDOUT_FILENO, s, len);

    if (n < 0 && errno != EINTR && errno != EAGAIN)
      return;
    if (n > 0) {
      s += n;
      len -= n;
    }
  }
}

static void
take (void)
{
  set_mode ();
  term.taken = 1;
  write_all (ENTER, sizeof ENTER - 1);
}

void
terminal_enter (void)
{
  term.keys = isatty (STDIN_FILENO) &&
    tcgetattr (STDIN_FILENO, &term.saved) == 0;
  atexit (terminal_leave);
  set_up_signals ();
  take ();
}

/* Async-signal-safe: on_crash calls it. */
void
terminal_leave (void)
{
  if (!term.taken)
    return;
  term.taken = 0;
  write_all (LEAVE, sizeof LEAVE - 1);
  if (term.keys)
    tcsetattr (STDIN_FILENO, TCSADRAIN, &term.saved);
}

/* Take a signal's default action now. */
static void
suffer (int sig)
{
  struct sigaction dfl = { .sa_handler = SIG_DFL }, old;
  sigset_t only;

  sigemptyset (&dfl.sa_mask);
  sigaction (sig, &dfl, &old);
  raise (sig);
  sigemptyset (&only);
  sigaddset (&only, sig);
  sigprocmask (SIG_UNBLOCK, &only, NULL);
  /* Only SIGTSTP comes to this line, once the program is continued. */
  sigprocmask (SIG_BLOCK, &only, NULL);
  sigaction (sig, &old, NULL);
}

static void
handle_signals (void)
{
  if (got_end) {
    terminal_leave ();
    suffer (got_end);
  }
  if (got_stop) {
    got_stop = 0;
    terminal_leave ();
    suffer (SIGTSTP);
    take ();
    got_redraw = 1;
  }
}

/* Returns false if no byte arrived in time. */
static bool
next_byte (unsigned char *c)
{
  struct pollfd pfd = { .fd = STDIN_FILENO, .events = POLLIN };

  return poll (&pfd, 1, ESCAPE_WAIT) == 1 && read (STDIN_FILENO, c, 1) == 1;
}

static int
sequence_key (char final, unsigned number)
{
  switch (final) {
  case 'A': return KEY_UP;
  case 'B': return KEY_DOWN;
  case 'C': return KEY_RIGHT;
  case 'D': return KEY_LEFT;
  case 'H': return KEY_HOME;
  case 'F': return KEY_END;
  case '~':
    return number == 5 ? KEY_PAGE_UP : number == 6 ? KEY_PAGE_DOWN :
      number == 1 || number == 7 ? KEY_HOME :
      number == 4 || number == 8 ? KEY_END : KEY_OTHER;
  default: return KEY_OTHER;
  }
}

/* Returns false when there is no more input. */
static bool
read_key (int *key)
{
  unsigned number = 0;
  unsigned char c;

  if (read (STDIN_FILENO, &c, 1) != 1)
    return false;
  *key = c;
  if (c != '\033' || !next_byte (&c))
    return true;
  *key = c;                     /* with Alt, or typed soon after Escape */
  if (c != '[' && c != 'O')
    return true;
  *key = KEY_OTHER;
  while (next_byte (&c)) {
    if (c >= '0' && c <= '9' && number < 1000)
      number = 10 * number + c - '0';
    if (c >= 0x40 && c <= 0x7e) {
      *key = sequence_key (c, number);
      break;
    }
  }
  return true;
}

enum terminal_event
terminal_wait (int fd, int64_t deadline, int *key)
{
  for (;;) {
    struct pollfd pfd[2] = {
      { .fd = term.keys ? STDIN_FILENO : -1, .events = POLLIN },
      { .fd = fd, .events = POLLIN },
    };
    int64_t left = deadline - client_now ();
    struct timespec ts = { 0, 0 };
    int r;

    if (left > 0) {
      ts.tv_sec = left / 1000;
      ts.tv_nsec = left % 1000 * 1000000;
    }
    r = ppoll (pfd, 2, &ts, &term.outside);
    handle_signals ();
    if (got_redraw) {
      got_redraw = 0;
      set_mode ();
      return TERMINAL_REDRAW;
    }
    if (r > 0 && pfd[0].revents) {
      if (read_key (key))
        return TERMINAL_KEY;
      term.keys = false;        /* no more keys will come */
    }
    else if (r > 0)
      return TERMINAL_FD;
    else if (r == 0 && client_now () >= deadline)
      return TERMINAL_TIMEOUT;
  }
}

/* If the terminal was stopped with ^S, this call blocks, so signals are
 * allowed.
 */
void
terminal_write (const char *s, size_t len)
{
  sigset_t inside;

  sigprocmask (SIG_SETMASK, &term.outside, &inside);
  while (len > 0) {
    ssize_t n = got_end || got_stop ? 0 : write (STDOUT_FILENO, s, len);

    if (n < 0 && errno != EINTR && errno != EAGAIN)
      break;
    if (got_end || got_stop) {  /* this frame is lost; another will come */
      got_redraw = 1;
      break;
    }
    if (n > 0) {
      s += n;
      len -= n;
    }
  }
  sigprocmask (SIG_SETMASK, &inside, NULL);
  handle_signals ();
}
