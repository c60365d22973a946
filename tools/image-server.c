/* SPDX-License-Identifier: BSD-3-Clause */
/* An NBD server for a local image file, while a command runs. */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "complain.h"
#include "image-server.h"
#include "job.h"
#include "rpc.h"
#include "settings.h"
#include "text.h"

/* How long to wait for a server to listen: this many steps of this many
 * milliseconds.
 */
#define START_STEPS 3000
#define START_STEP 10

/* How long to wait for it to end, in steps of this many milliseconds: with its
 * work done, it may have to write; after a failure, nothing of it is needed.
 */
#define STOP_STEP 10
#define STOP_STEPS 6000
#define END_STEPS 100           /* after its job has failed */
#define GIVE_UP_STEPS 300

static struct {
  pid_t pid;                    /* 0: none */
  char folder[64], socket[80], uri[120];
  int errors;                   /* what it says */
} server = { .errors = -1 };

/* A file that is not complete yet. */
static const char *unfinished;

bool
image_is_uri (const char *s)
{
  return strstr (s, "://") != NULL;
}

const char *
image_format (const char *path)
{
  static const struct { const char *magic; size_t offset, len;
                        const char *name; } formats[] = {
    { "QFI\xfb", 0, 4, "qcow2" }, { "KDMV", 0, 4, "vmdk" },
    { "vhdxfile", 0, 8, "vhdx" }, { "\x7f\x10\xda\xbe", 64, 4, "vdi" },
  };
  /* A FIFO has no writer. */
  CLEANUP_CLOSE int fd = open (path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  char head[128] = "";
  size_t i;

  if (fd >= 0 && pread (fd, head, sizeof head, 0) > 0)
    for (i = 0; i < sizeof formats / sizeof *formats; i++)
      if (memcmp (head + formats[i].offset, formats[i].magic,
                  formats[i].len) == 0)
        return formats[i].name;
  return "raw";
}

/* In the child, between fork and exec.  The server must not outlive us.  It
 * must not get the terminal's Ctrl-C either, because it is needed until the job
 * has ended.  Signals are blocked until our handlers are gone: one of them
 * would only note the signal that is to end the server, and nobody would look.
 */
static void __attribute__ ((noreturn))
become (char *const argv[], int errors, pid_t parent, const sigset_t *mask)
{
  int null = open ("/dev/null", O_RDWR | O_CLOEXEC);

  setpgid (0, 0);
  prctl (PR_SET_PDEATHSIG, SIGTERM);
  if (getppid () != parent)
    _exit (127);
  dup2 (null, STDIN_FILENO);
  dup2 (null, STDOUT_FILENO);
  dup2 (errors, STDERR_FILENO);
  signal (SIGINT, SIG_DFL);
  signal (SIGTERM, SIG_DFL);
  signal (SIGHUP, SIG_DFL);
  signal (SIGPIPE, SIG_DFL);
  sigprocmask (SIG_SETMASK, mask, NULL);
  execvp (argv[0], argv);
  dprintf (STDERR_FILENO, "%s: %s\n", argv[0], strerror (errno));
  _exit (127);
}

/* The server's standard error goes to an unnamed file. */
static pid_t
spawn (char *const argv[], int *errors)
{
  char path[] = "/tmp/mblockctl-XXXXXX";
  pid_t parent = getpid (), pid;
  sigset_t all, mask;

  *errors = mkostemp (path, O_CLOEXEC);
  if (*errors == -1)
    fail (REFUSED, "/tmp: %s", strerror (errno));
  unlink (path);
  sigfillset (&all);
  sigprocmask (SIG_BLOCK, &all, &mask);
  pid = fork ();
  if (pid == 0)
    become (argv, *errors, parent, &mask);
  sigprocmask (SIG_SETMASK, &mask, NULL);
  if (pid == -1)
    fail (REFUSED, "cannot start %s: %s", argv[0], strerror (errno));
  return pid;
}

/* The first line of a program's output, for people. */
static char *
said_by (const char *program, int errors)
{
  char text[512];
  ssize_t n = pread (errors, text, sizeof text - 1, 0);

  if (n <= 0)
    return text_format ("%s failed", program);
  text[n] = '\0';
  text[strcspn (text, "\n")] = '\0';
  return text_line (text);
}

static void
remove_unfinished (void)
{
  if (unfinished)
    unlink (unfinished);
}

void
image_keep (void)
{
  unfinished = NULL;
}

void
image_create (const char *path, const char *format, uint64_t size)
{
  char *bytes = text_format ("%" PRIu64, size), *shown = text_line (path);
  /* What precedes a colon is no protocol. */
  char *file = text_format ("%s%s", *path == '/' ? "" : "./", path);
  char *const argv[] = { "qemu-img", "create", "-q", "-f", (char *) format,
                         "--", file, bytes, NULL };
  int errors, status;
  pid_t pid;

  if (strcmp (format, "raw") == 0) {
    CLEANUP_CLOSE int fd = open (path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
                                 0600);

    if (fd == -1)
      fail (REFUSED, "%s: %s", shown, strerror (errno));
    if (ftruncate (fd, size) == -1) {
      unlink (path);
      fail (REFUSED, "%s: %s", shown, strerror (errno));
    }
  }
  else {
    pid = spawn (argv, &errors);
    while (waitpid (pid, &status, 0) == -1 && errno == EINTR)
      ;
    if (status)
      fail (REFUSED, "%s: %s", shown, said_by ("qemu-img", errors));
    close (errors);
  }
  unfinished = path;
  atexit (remove_unfinished);
  free (file);
  free (bytes);
  free (shown);
}

/* -------------------------------------------------------------- starting */

/* If root starts the server, mblock's server may run as another user, which
 * must reach the socket.
 */
static void
lend (const char *path)
{
  struct ucred peer;
  socklen_t len = sizeof peer;

  if (geteuid () == 0 &&
      getsockopt (rpc_client ()->fd, SOL_SOCKET, SO_PEERCRED, &peer,
                  &len) == 0 && peer.uid != 0 &&
      lchown (path, peer.uid, peer.gid) == -1)
    complain ("%s: %s", path, strerror (errno));
}

static void give_up (void);

#define OF_USERS "/run/user/"

/* mblock's server must see the folder.  As a service, it may have a /tmp of its
 * own, and no access to those of users; but it sees /run, where root may have
 * one.
 */
static void
make_folder (void)
{
  const char *runtime = getenv ("XDG_RUNTIME_DIR");

  if (geteuid () == 0 &&
      (!runtime || strncmp (runtime, OF_USERS, strlen (OF_USERS)) == 0))
    runtime = "/run";
  else if (runtime == NULL || *runtime != '/' || strlen (runtime) > 40)
    runtime = "/tmp";
  snprintf (server.folder, sizeof server.folder, "%s/mblockctl-XXXXXX",
            runtime);
  if (mkdtemp (server.folder) == NULL)
    fail (REFUSED, "%s: %s", server.folder, strerror (errno));
  snprintf (server.socket, sizeof server.socket, "%s/s", server.folder);
  snprintf (server.uri, sizeof server.uri, "nbd+unix:///?socket=%s",
            server.socket);
  atexit (give_up);
}

static bool
is_listening (void)
{
  CLEANUP_CLOSE int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_un sun = { .sun_family = AF_UNIX };

  snprintf (sun.sun_path, sizeof sun.sun_path, "%s", server.socket);
  return connect (fd, (struct sockaddr *) &sun, sizeof sun) == 0;
}

static void
await_server (const char *program, const char *shown)
{
  unsigned i;
  int status;

  for (i = 0; i < START_STEPS && !is_listening (); i++) {
    if (waitpid (server.pid, &status, WNOHANG) == server.pid) {
      server.pid = 0;
      fail (REFUSED, "%s: %s", shown, said_by (program, server.errors));
    }
    if (job_interrupted ())
      fail (REFUSED, "interrupted");
    poll (NULL, 0, START_STEP);
  }
  if (i == START_STEPS)
    fail (REFUSED, "%s does not listen on its socket", program);
}

const char *
image_server_start (const char *path, const char *format,
                    enum image_access access)
{
  bool raw = strcmp (format, "raw") == 0, reads = access == IMAGE_READ;
  char *file, *absolute = realpath (path, NULL), *line = text_line (path);
  char *shown = text_format ("%s%s", reads ? "--from " : "", line);
  const char *nbdkit[] = { "nbdkit", "-f", "-U", server.socket, "file", NULL,
                           reads ? "-r" : NULL, NULL };
  const char *qemu[] = { "qemu-nbd", "--socket", server.socket, "--persistent",
                         "--shared=0", "--format", format, "--discard=unmap",
                         "--", NULL, NULL, NULL };
  const char *qemu_reads[] = { "qemu-nbd", "--socket", server.socket,
                               "--persistent", "--shared=0", "--format", format,
                               "--read-only", "--", NULL, NULL };

  struct stat st;

  if (absolute == NULL || stat (absolute, &st) == -1)
    fail (REFUSED, "%s: %s", shown, strerror (errno));
  if (!S_ISREG (st.st_mode) && !S_ISBLK (st.st_mode))
    fail (REFUSED, "%s: expected a file or a block device", shown);
  make_folder ();
  file = text_format ("file=%s", absolute);
  nbdkit[5] = file;
  qemu[9] = qemu_reads[9] = absolute;
  server.pid = spawn ((char *const *) (raw ? nbdkit : reads ? qemu_reads
                                       : qemu), &server.errors);
  await_server (raw ? "nbdkit" : "qemu-nbd", shown);
  lend (server.socket);         /* while the folder is still ours */
  lend (server.folder);
  free (file);
  free (absolute);
  free (line);
  free (shown);
  return server.uri;
}

/* The server's message if it has ended, for the caller to free; or NULL. */
static char *
failure (void)
{
  int status;

  if (server.pid <= 0 ||
      waitpid (server.pid, &status, WNOHANG) != server.pid)
    return NULL;
  server.pid = 0;
  return said_by ("the server of the file", server.errors);
}

bool
image_server_job_is_done (const json_t *job)
{
  bool failed = job_state_is (job, "failed"), done;
  char *said = failure ();
  unsigned i;

  /* If that was why the job has failed, the server may be about to end: it
   * closes its socket first.
   */
  for (i = 0; failed && said == NULL && server.pid > 0 && i < END_STEPS &&
         !is_listening (); i++) {
    poll (NULL, 0, STOP_STEP);
    said = failure ();
  }
  if (said)
    complain ("%s", said);
  done = said && failed ? false : job_is_done (job);
  free (said);
  return done;
}

/* A server waits for its client before it ends, which is mblock's server.  If
 * that hangs, do not wait for ever.
 */
static void
stop (int steps)
{
  int status;

  if (server.pid > 0) {
    kill (server.pid, SIGTERM);
    while (waitpid (server.pid, &status, WNOHANG) == 0 && steps-- > 0)
      poll (NULL, 0, STOP_STEP);
    if (steps < 0) {
      kill (server.pid, SIGKILL);
      waitpid (server.pid, &status, 0);
    }
    server.pid = 0;
  }
  if (*server.folder) {
    unlink (server.socket);
    rmdir (server.folder);
    *server.folder = '\0';
  }
}

void
image_server_stop (void)
{
  stop (STOP_STEPS);
}

/* At exit, after a failure. */
static void
give_up (void)
{
  stop (GIVE_UP_STEPS);
}
