/* SPDX-License-Identifier: BSD-3-Clause */
/* An NBD client for the tests that keeps a shadow of every byte of the disk
 * and checks every read, and every promise of flush and FUA, against it.
 *
 * Design
 *
 * Each connection is a thread with several requests in flight: reads, writes,
 * zeroes, trims, flushes, of random length at random offsets, down to the
 * byte, which overlap also while they are in flight.
 *
 * For each byte the shadow holds the set of values that it may have now, and
 * that of the writes that are in flight over it.  When the last of these is
 * answered their set replaces the other.  One write alone so leaves one value;
 * overlapping ones leave one for each, and the first read after them decides:
 * all later ones must agree.  A read takes a copy of its bytes' sets when it is
 * sent, and writes that are sent while it is in flight add to that copy.
 *
 * A third set for each byte holds what may be on the medium: the values that
 * the last good flush left, and all that were written since.  What may be lost
 * in a crash, and when, is the mode's business:
 *
 *   strict   nothing is ever lost, and no request fails.  This is what a
 *            client of mnbd sees.
 *   fsync    what was written since the last good flush may be lost, but then
 *            the next flush must fail with EIO.
 *   durable  the connection may be lost, and with it what was written since
 *            the last good flush.  This is what any NBD server promises.
 *
 * In the last two, a flush is a barrier: it is sent when nothing else is in
 * flight.  Mode durable uses one connection, because each would notice a crash
 * at a time of its own.
 *
 * Invariants
 *
 * 1. The value that a read returns is in the copy of the set it took.
 * 2. A set that has overflowed (more than SET_MAX values) holds everything;
 *    how often that happened is in the summary, so that a run that checked
 *    nothing does not pass as one that did.
 */

#include <config.h>

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <libnbd.h>

#include "tests/random.h"

#define SET_MAX 6
#define SET_ALL UINT8_MAX
#define MAX_CONNECTIONS 32
#define MAX_DEPTH 64
/* A loss makes many wrong bytes; the first of them tell the story. */
#define MAX_COMPLAINTS 20

struct set {
  uint8_t n;                    /* SET_ALL: every value */
  uint8_t v[SET_MAX];
};

struct byte {
  struct set now;               /* what it may hold, before: */
  struct set sent;              /* the writes that are in flight over it */
  struct set medium;            /* what a crash may leave */
  uint8_t writes;               /* how many writes are in flight over it */
  bool keep;                    /* one of them need not have happened */
  bool unflushed;               /* written since the last flush */
};

enum op { READ, WRITE, ZERO, TRIM, FLUSH };
enum mode { STRICT, FSYNC, DURABLE };

struct client;

struct request {
  struct client *client;
  enum op op;
  bool busy, done, fua;
  bool overlapped;              /* a write was in flight with it */
  int error;
  uint64_t offset, started;
  size_t length;
  uint8_t *buf;
  struct set *copy;             /* of a read's bytes */
};

struct client {
  pthread_t thread;
  struct nbd_handle *nbd;
  unsigned number;
  uint64_t random;
  bool broken;
  struct request requests[MAX_DEPTH];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* All below is guarded by lock. */
static struct byte *shadow;
static struct client clients[MAX_CONNECTIONS];
static unsigned in_flight;
static bool flush_wanted, barrier, failed;
static atomic_bool stop;        /* needs no lock */
static unsigned complaints;
static uint64_t budget = 10000;
static uint64_t counts[5], bytes_checked, overflows, undecided, started;
static uint64_t connects, flush_errors, wrong_bytes, longest;

#define LAST_SECONDS 60

/* Set at start and not changed. */
static const char *uri;
static uint64_t size;
static enum mode mode = STRICT;
static unsigned nr_clients = 1, depth = 8, align = 1, max_length = 16384;
static unsigned flush_percent = 2, fua_percent = 5, zero_percent = 8;
static unsigned trim_percent = 4, read_percent = 45, reconnect_seconds;
static bool trim_zeroes, keep_content;
static uint64_t progress;       /* tell each time after so many; 0: never */

static uint64_t
now_us (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_MONOTONIC, &ts);
  return ts.tv_sec * UINT64_C (1000000) + ts.tv_nsec / 1000;
}

static uint64_t
next_random (uint64_t *state)
{
  return xorshift (state) * UINT64_C (2685821657736338717) >> 11;
}

static void __attribute__ ((format (printf, 1, 2)))
complain_locked (const char *format, ...)
{
  va_list args;

  failed = true;
  if (complaints++ >= MAX_COMPLAINTS)
    return;
  fputs ("nbd-shadow: ", stderr);
  va_start (args, format);
  vfprintf (stderr, format, args);
  va_end (args);
  fputc ('\n', stderr);
}

/* Sets. */

static bool
set_has (const struct set *set, uint8_t value)
{
  return set->n == SET_ALL || memchr (set->v, value, set->n) != NULL;
}

static void
set_add (struct set *set, uint8_t value)
{
  if (set_has (set, value))
    return;
  if (set->n == SET_MAX) {
    set->n = SET_ALL;
    overflows++;
  }
  else
    set->v[set->n++] = value;
}

static void
set_is (struct set *set, uint8_t value)
{
  set->n = 1;
  set->v[0] = value;
}

static void
set_add_all (struct set *set, const struct set *more)
{
  if (more->n == SET_ALL)
    set->n = SET_ALL;
  else
    for (unsigned i = 0; i < more->n; ++i)
      set_add (set, more->v[i]);
}

/* The shadow's view of requests. */

static bool
is_change (enum op op)
{
  return op == WRITE || op == ZERO || op == TRIM;
}

static void
write_sent_locked (const struct request *req)
{
  for (size_t i = 0; i < req->length; ++i) {
    struct byte *b = &shadow[req->offset + i];
    const uint8_t value = req->op == WRITE ? req->buf[i] : 0;

    b->writes++;
    set_add (&b->sent, value);
    if (mode != STRICT) {
      set_add (&b->medium, value);
      b->unflushed = true;
    }
  }
  for (unsigned c = 0; c < nr_clients; ++c)
    for (unsigned s = 0; s < depth; ++s) {
      struct request *read = &clients[c].requests[s];
      const uint64_t start =
        req->offset > read->offset ? req->offset : read->offset;
      const uint64_t req_end = req->offset + req->length;
      const uint64_t read_end = read->offset + read->length;
      const uint64_t end = req_end < read_end ? req_end : read_end;

      if (!read->busy || read->op != READ || start >= end)
        continue;
      read->overlapped = true;
      for (uint64_t at = start; at < end; ++at)
        set_add (&read->copy[at - read->offset],
                 req->op == WRITE ? req->buf[at - req->offset] : 0);
    }
}

static void
write_answered_locked (const struct request *req)
{
  for (size_t i = 0; i < req->length; ++i) {
    struct byte *b = &shadow[req->offset + i];

    if (req->error || (req->op == TRIM && !trim_zeroes))
      b->keep = true;
    if (--b->writes > 0)
      continue;
    if (b->keep)
      set_add_all (&b->sent, &b->now);
    b->now = b->sent;
    b->sent.n = 0;
    b->keep = false;
    if (req->fua && !req->error && b->now.n == 1) {
      b->medium = b->now;
      b->unflushed = false;
    }
  }
}

static void
read_answered_locked (const struct request *req)
{
  for (size_t i = 0; i < req->length; ++i) {
    struct byte *b = &shadow[req->offset + i];
    const uint8_t value = req->buf[i];

    if (!set_has (&req->copy[i], value) ||
        /* Another read has decided while this one was in flight. */
        (mode != FSYNC && !req->overlapped && b->writes == 0 &&
         !set_has (&b->now, value))) {
      wrong_bytes++;
      complain_locked ("byte %" PRIu64 ": read 0x%02x, expected 0x%02x%s"
                       " (read of %zu at %" PRIu64 ", connection %u)",
                       req->offset + i, value, req->copy[i].v[0],
                       req->copy[i].n > 1 ? " or others" : "",
                       req->length, req->offset, req->client->number);
    }
    else if (!req->overlapped && b->writes == 0 && b->now.n != 1) {
      if (b->now.n == SET_ALL)
        undecided++;
      /* In mode fsync a value can still be lost, unless nothing was written
       * since the last flush.  (That the sets are the same does not say so:
       * a later write may have brought the values that were there.) */
      if (mode == FSYNC && !b->unflushed)
        set_is (&b->medium, value);
      if (mode != FSYNC || b->medium.n == 1)
        set_is (&b->now, value);
    }
  }
  bytes_checked += req->length;
}

/* A flush was answered, with nothing else in flight.  With an error too the
 * server keeps what it has from here on. */
static void
flushed_locked (int error)
{
  if (error)
    flush_errors++;
  for (uint64_t i = 0; i < size; ++i) {
    struct byte *b = &shadow[i];

    if (error)
      b->now = b->medium;
    else
      b->medium = b->now;
    b->unflushed = false;
  }
}

/* The server may have lost all that was not flushed. */
static void
crashed_locked (void)
{
  for (uint64_t i = 0; i < size; ++i)
    shadow[i].now = shadow[i].medium;
}

/* Requests. */

static int
answered (void *opaque, int *error)
{
  struct request *req = opaque;

  req->error = *error;
  req->done = true;
  return 1;
}

static void
finish_locked (struct request *req)
{
  const uint64_t took = now_us () - req->started;

  req->busy = req->done = false;
  in_flight--;
  if (took > longest)
    longest = took;
  if (req->error == ENOTCONN || req->error == ESHUTDOWN)
    req->client->broken = true;
  if (req->error && mode != DURABLE && !reconnect_seconds &&
      !(mode == FSYNC && req->op == FLUSH && req->error == EIO))
    complain_locked ("request of kind %d at %" PRIu64 " failed: %s", req->op,
                     req->offset, strerror (req->error));
  if (is_change (req->op))
    write_answered_locked (req);
  else if (req->op == READ && !req->error)
    read_answered_locked (req);
  else if (req->op == FLUSH && mode != STRICT)
    flushed_locked (req->error);
  if (req->op == FLUSH)
    barrier = false;
  free (req->copy);
  req->copy = NULL;
}

static enum op
pick_op (struct client *c)
{
  const unsigned dice = next_random (&c->random) % 100;
  unsigned upto = 0;

  if (dice < (upto += read_percent))
    return READ;
  if (dice < (upto += zero_percent))
    return ZERO;
  if (dice < (upto += trim_percent))
    return TRIM;
  if (dice < (upto += flush_percent))
    return FLUSH;
  return WRITE;
}

/* Lengths from one unit up, short ones far more often; one request in 32
 * begins at the same place as many others, so that they collide. */
static void
pick_range (struct client *c, struct request *req)
{
  const unsigned bits = 1 + next_random (&c->random) % 20;
  uint64_t length = 1 + next_random (&c->random) % (1u << bits);

  length = (length + align - 1) / align * align;
  if (length > max_length)
    length = max_length;
  req->length = length;
  req->offset = next_random (&c->random) % (size - length + 1);
  if (next_random (&c->random) % 32 == 0)
    req->offset %= 65536;
  if (req->offset > size - length)
    req->offset = size - length;
  req->offset -= req->offset % align;
}

/* What a read may return: in mode fsync, also what a crash has left. */
static void
copy_sets (struct set *copy, const struct byte *b)
{
  *copy = mode == FSYNC ? b->medium : b->now;
  set_add_all (copy, &b->sent);
}

/* Set REQ up and tell the shadow; false if it must wait for the barrier. */
static bool
prepare_locked (struct client *c, struct request *req)
{
  if (barrier || stop || budget == 0 || (flush_wanted && in_flight > 0))
    return false;
  req->op = flush_wanted ? FLUSH : pick_op (c);
  if (req->op == FLUSH && mode != STRICT) {
    if (in_flight > 0) {
      /* Nobody starts anything until all has been answered. */
      flush_wanted = true;
      return false;
    }
    flush_wanted = false;
    barrier = true;
  }
  req->error = 0;
  req->overlapped = false;
  req->fua = false;
  req->length = 0;
  req->offset = 0;
  if (req->op != FLUSH)
    pick_range (c, req);
  if (req->op == WRITE) {
    for (size_t i = 0; i < req->length; i += 8) {
      const uint64_t r = next_random (&c->random);

      memcpy (req->buf + i, &r, req->length - i < 8 ? req->length - i : 8);
    }
  }
  if (is_change (req->op)) {
    req->fua = next_random (&c->random) % 100 < fua_percent &&
               nbd_can_fua (c->nbd) == 1;
    write_sent_locked (req);
  }
  if (req->op == READ) {
    req->copy = malloc (req->length * sizeof *req->copy);
    if (req->copy == NULL)
      abort ();
    for (size_t i = 0; i < req->length; ++i) {
      copy_sets (&req->copy[i], &shadow[req->offset + i]);
      if (shadow[req->offset + i].writes > 0)
        req->overlapped = true;
    }
  }
  req->client = c;
  req->busy = true;
  req->done = false;
  req->started = now_us ();
  in_flight++;
  budget--;
  counts[req->op]++;
  if (progress && ++started % progress == 0) {
    printf ("%" PRIu64 " requests\n", started);
    fflush (stdout);
  }
  return true;
}

static void
submit (struct client *c, struct request *req)
{
  const nbd_completion_callback done = {
    .callback = answered, .user_data = req
  };
  const uint32_t flags = req->fua ? LIBNBD_CMD_FLAG_FUA : 0;
  int64_t cookie = -1;

  switch (req->op) {
  case READ:
    cookie = nbd_aio_pread (c->nbd, req->buf, req->length, req->offset,
                            done, 0);
    break;
  case WRITE:
    cookie = nbd_aio_pwrite (c->nbd, req->buf, req->length, req->offset,
                             done, flags);
    break;
  case ZERO:
    cookie = nbd_aio_zero (c->nbd, req->length, req->offset, done,
                           flags | (req->started & 1 ?
                                    LIBNBD_CMD_FLAG_NO_HOLE : 0));
    break;
  case TRIM:
    cookie = nbd_aio_trim (c->nbd, req->length, req->offset, done, flags);
    break;
  case FLUSH:
    cookie = nbd_aio_flush (c->nbd, done, 0);
  }
  if (cookie == -1 && !req->done) {
    req->error = nbd_get_errno () ?: ENOTCONN;
    req->done = true;
    if (nbd_aio_is_ready (c->nbd) != 1)
      c->broken = true;
  }
}

/* Connect, and again until so many seconds are over. */
static bool
open_connection (struct client *c, unsigned seconds)
{
  const uint64_t until = now_us () + seconds * UINT64_C (1000000);

  do {
    c->nbd = nbd_create ();
    if (c->nbd == NULL)
      abort ();
    if (nbd_connect_uri (c->nbd, uri) == 0) {
      c->broken = false;
      __atomic_fetch_add (&connects, 1, __ATOMIC_RELAXED);
      return true;
    }
    nbd_close (c->nbd);
    c->nbd = NULL;
    usleep (20000);
  } while (now_us () < until);
  return false;
}

static void
give_up_locked (struct client *c)
{
  for (unsigned i = 0; i < depth; ++i)
    if (c->requests[i].busy) {
      if (!c->requests[i].done)
        c->requests[i].error = ENOTCONN;
      finish_locked (&c->requests[i]);
    }
}

/* The connection has gone: all that was in flight has failed. */
static void
reopen (struct client *c)
{
  /* Closed first: that may still answer some. */
  nbd_close (c->nbd);
  c->nbd = NULL;
  pthread_mutex_lock (&lock);
  give_up_locked (c);
  if (mode == DURABLE)
    crashed_locked ();
  pthread_mutex_unlock (&lock);
  if (!open_connection (c, reconnect_seconds)) {
    pthread_mutex_lock (&lock);
    complain_locked ("connection %u: %s", c->number, nbd_get_error ());
    stop = true;
    pthread_mutex_unlock (&lock);
  }
}

static void *
run_client (void *opaque)
{
  struct client *c = opaque;

  while (c->nbd) {
    unsigned busy = 0;
    bool want_reopen;

    for (unsigned i = 0; i < depth; ++i) {
      struct request *req = &c->requests[i];
      bool send = false;

      pthread_mutex_lock (&lock);
      if (req->busy && req->done)
        finish_locked (req);
      if (!req->busy && !c->broken)
        send = prepare_locked (c, req);
      pthread_mutex_unlock (&lock);
      if (send)
        submit (c, req);
      busy += req->busy;
    }
    want_reopen = c->broken || nbd_aio_is_dead (c->nbd) ||
                  nbd_aio_is_closed (c->nbd);
    if (want_reopen && reconnect_seconds) {
      reopen (c);
      continue;
    }
    pthread_mutex_lock (&lock);
    if (want_reopen) {
      complain_locked ("connection %u was lost", c->number);
      give_up_locked (c);
      stop = true;
    }
    if (failed)
      stop = true;
    if (want_reopen || (busy == 0 && (stop || budget == 0))) {
      pthread_mutex_unlock (&lock);
      break;
    }
    pthread_mutex_unlock (&lock);
    nbd_poll (c->nbd, busy ? 20 : 1);
  }
  return NULL;
}

/* Where nothing can be lost but the connection: make another one. */
static bool
again (struct client *c)
{
  if (mode != STRICT || !reconnect_seconds)
    return false;
  nbd_close (c->nbd);
  return open_connection (c, reconnect_seconds);
}

/* A flush with nothing else in flight. */
static void
flush_last (struct client *c)
{
  int r = nbd_flush (c->nbd, 0);

  if (r == -1 && mode == FSYNC && nbd_get_errno () == EIO) {
    flushed_locked (EIO);
    r = nbd_flush (c->nbd, 0);
  }
  while (r == -1 && again (c))
    r = nbd_flush (c->nbd, 0);
  if (r == -1)
    complain_locked ("the last flush: %s", nbd_get_error ());
  else
    flushed_locked (0);
}

/* The whole disk, read again through a new connection. */
static void
check_all (bool flush)
{
  struct client *c = &clients[0];
  struct request read = { .client = c, .op = READ };
  static uint8_t buf[65536];
  static struct set copy[65536];

  c->nbd = NULL;
  /* A crash after the last reply went unnoticed. */
  if (mode == DURABLE)
    crashed_locked ();
  /* A forwarder refuses new clients while its upstream is away. */
  if (!open_connection (c, LAST_SECONDS)) {
    complain_locked ("the last connection: %s", nbd_get_error ());
    return;
  }
  if (flush)
    flush_last (c);
  read.buf = buf;
  read.copy = copy;
  for (read.offset = 0; read.offset < size; read.offset += read.length) {
    read.length = size - read.offset;
    if (read.length > sizeof buf)
      read.length = sizeof buf;
    while (nbd_pread (c->nbd, buf, read.length, read.offset, 0) == -1)
      if (!again (c)) {
        complain_locked ("the last reads: %s", nbd_get_error ());
        goto out;
      }
    for (size_t i = 0; i < read.length; ++i)
      copy_sets (&copy[i], &shadow[read.offset + i]);
    read_answered_locked (&read);
  }
 out:
  if (c->nbd) {
    nbd_shutdown (c->nbd, 0);
    nbd_close (c->nbd);
  }
}

static void
on_signal (int sig)
{
  (void) sig;
  stop = true;
}

/* Learn what is there, or make it all zero. */
static bool
prepare_disk (struct nbd_handle *nbd)
{
  static uint8_t buf[65536];

  size = nbd_get_size (nbd);
  if (size > (1 << 30) || size < max_length + align) {
    fprintf (stderr, "nbd-shadow: the disk's size is %" PRIu64
             " bytes, expected at least max-length and at most 1 GiB\n", size);
    return false;
  }
  shadow = calloc (size, sizeof *shadow);
  if (shadow == NULL)
    abort ();
  for (uint64_t at = 0; at < size; at += sizeof buf) {
    const size_t n = size - at < sizeof buf ? size - at : sizeof buf;

    if (keep_content) {
      if (nbd_pread (nbd, buf, n, at, 0) == -1)
        return false;
    }
    else if (nbd_pwrite (nbd, buf, n, at, 0) == -1)
      return false;
    for (size_t i = 0; i < n; ++i) {
      set_is (&shadow[at + i].now, buf[i]);
      set_is (&shadow[at + i].medium, buf[i]);
    }
  }
  return nbd_can_flush (nbd) != 1 || flush_percent == 0 ||
         nbd_flush (nbd, 0) != -1;
}

static bool
dump_shadow (const char *path)
{
  FILE *f = fopen (path, "w");

  if (f == NULL)
    return false;
  for (uint64_t i = 0; i < size; ++i)
    putc (shadow[i].now.v[0], f);
  return fclose (f) == 0;
}

static void
usage (void)
{
  fputs ("usage: nbd-shadow [OPTION...] URI\n"
         "  --mode=strict|fsync|durable  what may be lost (strict: nothing)\n"
         "  --requests=N --seconds=N     how long (10000 requests)\n"
         "  --connections=N --depth=N --align=N --max-length=N --seed=N\n"
         "  --read=PERCENT --zero=PERCENT --trim=PERCENT --flush=PERCENT"
         " --fua=PERCENT\n"
         "  --trim-zeroes                a trim must make zeroes\n"
         "  --reconnect=SECONDS          connect again when the connection"
         " is lost\n"
         "  --keep-content               do not zero the disk first\n"
         "  --dump=FILE                  write the shadow to a file at the"
         " end\n"
         "  --ready=FILE                 make this file once requests run\n"
         "  --progress=N                 print a line after every N requests\n"
         "  --no-last-flush\n"
         "SIGTERM or SIGINT end the run early; the checks at the end are"
         " still made.\n", stderr);
  exit (2);
}

static uint64_t
number (const char *text)
{
  char *end;
  uint64_t n = strtoull (text, &end, 0);

  if (*text == '\0' || *end != '\0') {
    fprintf (stderr, "nbd-shadow: %s: expected a number\n", text);
    exit (2);
  }
  return n;
}

int
main (int argc, char *argv[])
{
  enum { MODE = 256, REQUESTS, SECONDS, CONNECTIONS, DEPTH, ALIGN, LENGTH,
         SEED, READS, ZEROES, TRIMS, FLUSHES, FUA, TRIM_ZEROES, RECONNECT,
         KEEP, DUMP, READY, PROGRESS, NO_LAST_FLUSH };
  static const struct option options[] = {
    { "mode", required_argument, NULL, MODE },
    { "requests", required_argument, NULL, REQUESTS },
    { "seconds", required_argument, NULL, SECONDS },
    { "connections", required_argument, NULL, CONNECTIONS },
    { "depth", required_argument, NULL, DEPTH },
    { "align", required_argument, NULL, ALIGN },
    { "max-length", required_argument, NULL, LENGTH },
    { "seed", required_argument, NULL, SEED },
    { "read", required_argument, NULL, READS },
    { "zero", required_argument, NULL, ZEROES },
    { "trim", required_argument, NULL, TRIMS },
    { "flush", required_argument, NULL, FLUSHES },
    { "fua", required_argument, NULL, FUA },
    { "trim-zeroes", no_argument, NULL, TRIM_ZEROES },
    { "reconnect", required_argument, NULL, RECONNECT },
    { "keep-content", no_argument, NULL, KEEP },
    { "dump", required_argument, NULL, DUMP },
    { "ready", required_argument, NULL, READY },
    { "progress", required_argument, NULL, PROGRESS },
    { "no-last-flush", no_argument, NULL, NO_LAST_FLUSH },
    { NULL, 0, NULL, 0 }
  };
  uint64_t seed = time (NULL) ^ (uint64_t) getpid () << 32, seconds = 0;
  const char *dump = NULL, *ready = NULL;
  bool last_flush = true;
  int c;

  while ((c = getopt_long (argc, argv, "", options, NULL)) != -1)
    switch (c) {
    case MODE:
      if (strcmp (optarg, "strict") == 0)
        mode = STRICT;
      else if (strcmp (optarg, "fsync") == 0)
        mode = FSYNC;
      else if (strcmp (optarg, "durable") == 0)
        mode = DURABLE;
      else
        usage ();
      break;
    case REQUESTS: budget = number (optarg); break;
    case SECONDS: seconds = number (optarg); budget = UINT64_MAX; break;
    case CONNECTIONS: nr_clients = number (optarg); break;
    case DEPTH: depth = number (optarg); break;
    case ALIGN: align = number (optarg); break;
    case LENGTH: max_length = number (optarg); break;
    case SEED: seed = number (optarg); break;
    case READS: read_percent = number (optarg); break;
    case ZEROES: zero_percent = number (optarg); break;
    case TRIMS: trim_percent = number (optarg); break;
    case FLUSHES: flush_percent = number (optarg); break;
    case FUA: fua_percent = number (optarg); break;
    case TRIM_ZEROES: trim_zeroes = true; break;
    case RECONNECT: reconnect_seconds = number (optarg); break;
    case KEEP: keep_content = true; break;
    case DUMP: dump = optarg; break;
    case READY: ready = optarg; break;
    case PROGRESS: progress = number (optarg); break;
    case NO_LAST_FLUSH: last_flush = false; break;
    default: usage ();
    }
  if (optind != argc - 1 || nr_clients < 1 || nr_clients > MAX_CONNECTIONS ||
      depth < 1 || depth > MAX_DEPTH || align < 1 || max_length < align ||
      max_length % align)
    usage ();
  uri = argv[optind];

  prctl (PR_SET_PDEATHSIG, SIGTERM);
  signal (SIGTERM, on_signal);
  signal (SIGINT, on_signal);
  signal (SIGALRM, on_signal);
  for (unsigned i = 0; i < nr_clients; ++i) {
    struct client *client = &clients[i];

    client->number = i;
    client->random = (seed + i) * UINT64_C (0x9e3779b97f4a7c15) | 1;
    if (!open_connection (client, reconnect_seconds)) {
      fprintf (stderr, "nbd-shadow: %s\n", nbd_get_error ());
      return 1;
    }
    for (unsigned s = 0; s < depth; ++s)
      if ((client->requests[s].buf = malloc (max_length)) == NULL)
        abort ();
  }
  if (nr_clients > 1 && nbd_can_multi_conn (clients[0].nbd) != 1) {
    fputs ("nbd-shadow: several connections need a server with multi-conn\n",
           stderr);
    return 2;
  }
  if (nr_clients > 1 && mode == DURABLE)
    usage ();
  if (nbd_can_zero (clients[0].nbd) != 1)
    zero_percent = 0;
  if (nbd_can_trim (clients[0].nbd) != 1)
    trim_percent = 0;
  if (nbd_can_flush (clients[0].nbd) != 1)
    flush_percent = 0, last_flush = false;
  if (!prepare_disk (clients[0].nbd)) {
    fprintf (stderr, "nbd-shadow: at the start: %s\n",
             nbd_get_error () ?: "see above");
    return 1;
  }
  if (seconds)
    alarm (seconds);
  if (ready)
    fclose (fopen (ready, "w"));
  for (unsigned i = 0; i < nr_clients; ++i)
    if (pthread_create (&clients[i].thread, NULL, run_client, &clients[i]))
      abort ();
  for (unsigned i = 0; i < nr_clients; ++i)
    pthread_join (clients[i].thread, NULL);
  for (unsigned i = 0; i < nr_clients; ++i) {
    if (clients[i].nbd == NULL)
      continue;
    /* A crash after the last reply is told to those who were there, not to
     * the connection that check_all makes. */
    if (mode == FSYNC && last_flush && !clients[i].broken)
      flush_last (&clients[i]);
    nbd_close (clients[i].nbd);
  }
  check_all (last_flush);
  if (dump && !dump_shadow (dump)) {
    perror (dump);
    failed = true;
  }
  printf ("seed %" PRIu64 ", reads %" PRIu64 ", writes %" PRIu64
          ", zeroes %" PRIu64 ", trims %" PRIu64 ", flushes %" PRIu64
          ", connects %" PRIu64 ", flush errors %" PRIu64
          ", bytes checked %" PRIu64 ", wrong bytes %" PRIu64
          ", overflows %" PRIu64 ", undecided %" PRIu64
          ", longest %" PRIu64 " ms\n", seed, counts[READ], counts[WRITE],
          counts[ZERO], counts[TRIM], counts[FLUSH], connects, flush_errors,
          bytes_checked, wrong_bytes, overflows, undecided, longest / 1000);
  return failed ? 1 : 0;
}
