/* SPDX-License-Identifier: BSD-3-Clause */
/* Opening and closing the arena's file.  arena-layout.h has its layout. */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <time.h>
#include <unistd.h>

#include <linux/magic.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "ramdisk/arena-file.h"
#include "ramdisk/arena-parts.h"
#include "ramdisk/arena.h"
#include "ramdisk/crash-point.h"

/* How often to retry the lock that another process holds. */
#define LOCK_POLL_NS (5 * 1000 * 1000)

/* How often the file may be removed between being opened and locked. */
#define MOST_REMOVED 100

/* The space that is set aside for the overdraft: a part of the limit, so that
 * most of a small file system is left for data; but enough for a trim in any
 * tree.
 */
#define OVERDRAFT_PART 32
#define LEAST_OVERDRAFT 64

static int __attribute__ ((format (printf, 2, 3)))
fail (char **error, const char *fmt, ...)
{
  va_list ap;

  va_start (ap, fmt);
  if (vasprintf (error, fmt, ap) == -1)
    *error = NULL;
  va_end (ap);
  return -1;
}

/* ----------------------------------------------------------------- boot */

static void
read_boot_id (char id[40])
{
  FILE *fp = fopen ("/proc/sys/kernel/random/boot_id", "re");

  memset (id, 0, 40);
  if (fp == NULL)
    return;
  if (fgets (id, 40, fp))
    id[strcspn (id, "\n")] = '\0';
  fclose (fp);
}

/* Whether this boot used the file last.  Without an id that is not known, and
 * another boot is assumed.
 */
static bool
is_of_this_boot (const struct layout_header *h)
{
  char id[40];

  read_boot_id (id);
  return id[0] && memcmp (id, h->boot_id, sizeof id) == 0;
}

/* ------------------------------------------------------------- open, lock */

static bool
lock (int fd)
{
  struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
  int r;

  do
    r = fcntl (fd, F_OFD_SETLK, &l);
  while (r == -1 && errno == EINTR);
  return r == 0;
}

/* Whether the path still names the file. */
static bool
is_named (int fd, const char *path)
{
  struct stat a, b;

  return fstat (fd, &a) == 0 && stat (path, &b) == 0 &&
    a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* A file that another user can write to is refused: its page numbers are
 * followed while the disks are served, and truncating it would cause SIGBUS.
 */
static int
open_file (const struct arena_open_options *o, struct stat *st, bool *created,
           char **error)
{
  const int flags = O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  int fd = open (o->path, flags);

  *created = false;             /* perhaps one before was, and is another's */
  if (fd == -1 && errno == ENOENT) {
    fd = open (o->path, flags | O_CREAT | O_EXCL, 0600);
    *created = fd >= 0;
    if (fd == -1 && errno == EEXIST)    /* somebody else's now */
      fd = open (o->path, flags);
  }
  if (fd == -1) {
    if (errno == EISDIR)
      return fail (error, "is a directory, expected a regular file");
    return fail (error, "cannot open: %s", strerror (errno));
  }
  if (fstat (fd, st) == -1)
    fail (error, "cannot access it: %s", strerror (errno));
  else if (!S_ISREG (st->st_mode))
    fail (error, "is no regular file, expected one");
  else if (st->st_uid != geteuid () && st->st_uid != 0)
    fail (error, "belongs to user %ld, expected %ld or root",
          (long) st->st_uid, (long) geteuid ());
  else if (st->st_mode & S_IWOTH)
    fail (error, "can be written by every user, expected mode 600");
  else
    return fd;
  close (fd);
  return -1;
}

/* Open the file and lock it.  The previous owner may have removed it; then it
 * is opened again, but not for ever.
 */
static int
open_locked (const struct arena_open_options *o, struct stat *st,
             bool *created, char **error)
{
  static const struct timespec poll = { .tv_nsec = LOCK_POLL_NS };
  uint64_t end = clock_now_ms () + o->wait * UINT64_C (1000);
  unsigned removed = 0;
  int fd;

  for (;;) {
    fd = open_file (o, st, created, error);
    if (fd == -1)
      return -1;
    if (lock (fd)) {
      if (is_named (fd, o->path) && fstat (fd, st) == 0)
        return fd;
      close (fd);
      if (++removed > MOST_REMOVED && clock_now_ms () >= end)
        return fail (error, "is removed or replaced again and again, expected "
                     "a file that stays");
      continue;
    }
    if (errno != EAGAIN && errno != EACCES) {
      fail (error, "cannot lock it: %s", strerror (errno));
      close (fd);
      return -1;
    }
    close (fd);
    if (clock_now_ms () >= end)
      return o->wait
        ? fail (error, "another process still had it after arena-wait=%u "
                "seconds", o->wait)
        : fail (error, "another process has it, expected one that is not in "
                "use, or arena-wait= to wait for it");
    nanosleep (&poll, NULL);
  }
}

/* ---------------------------------------------------------------- header */

static bool
is_in_memory (const struct statfs *fs)
{
  return fs->f_type == TMPFS_MAGIC || fs->f_type == HUGETLBFS_MAGIC;
}

static int
check_file_system (struct arena_file *f, char **error)
{
  struct statfs fs;

  if (fstatfs (f->fd, &fs) == -1)
    return fail (error, "cannot determine its file system: %s",
                 strerror (errno));
  f->unit = 1;
  f->in_memory = is_in_memory (&fs);
  if (fs.f_type == HUGETLBFS_MAGIC) {
    f->unit = CHUNK_PAGES;
    if ((uint64_t) fs.f_bsize != CHUNK_BYTES)
      return fail (error, "its file system has pages of %ld KiB, expected 2048",
                   (long) fs.f_bsize / 1024);
  }
  return 0;
}

/* Check a header that was found: whether the file can be used. */
static int
check_header (const struct layout_header *h, uint64_t size,
              const struct arena_open_options *o, struct arena_file *f,
              char **error)
{
  uint32_t state = atomic_load (&h->state), chunks = atomic_load (&h->chunks);
  static const struct layout_header none;

  /* Where the first header cannot be written in one go it may not be there. */
  if (f->unit > 1 && size == CHUNK_BYTES && memcmp (h, &none, sizeof *h) == 0) {
    f->is_new = true;
    return 0;
  }
  if (size < sizeof *h ||
      memcmp (h->magic, LAYOUT_MAGIC, sizeof h->magic) != 0)
    return fail (error, "is not an arena, expected one, or no file");
  if (h->byte_order == __builtin_bswap32 (LAYOUT_BYTE_ORDER))
    return fail (error, "was made by a machine of another byte order");
  if (h->byte_order == LAYOUT_BYTE_ORDER && h->version != LAYOUT_VERSION)
    return fail (error, "has layout version %" PRIu32 ", expected %d",
                 h->version, LAYOUT_VERSION);
  if (h->byte_order != LAYOUT_BYTE_ORDER ||
      h->checksum != layout_header_checksum (h))
    return fail (error, "its header is damaged");
  if (h->page_size != PAGE_BYTES || h->chunk_pages != CHUNK_PAGES)
    return fail (error, "has pages of %" PRIu32 " bytes in chunks of %" PRIu32
                 ", expected %u in %u", h->page_size, h->chunk_pages,
                 PAGE_BYTES, CHUNK_PAGES);
  if (state == LAYOUT_CREATING) {       /* its creator did not get far */
    f->is_new = true;
    return 0;
  }
  if (state != LAYOUT_IN_USE && state != LAYOUT_CLEAN)
    return fail (error, "its header is damaged: state %" PRIu32, state);
  /* It was killed before it had a place for anything. */
  if (chunks == 0 && atomic_load (&h->tables) == PAGE_HOLE &&
      size <= CHUNK_BYTES) {
    f->is_new = true;
    return 0;
  }
  if (chunks == 0 || chunks > UINT32_MAX / CHUNK_PAGES)
    return fail (error, "its header is damaged: %" PRIu32 " chunks", chunks);
  if (size < chunks * CHUNK_BYTES) {
    if (!o->salvage)
      return fail (error, "is truncated: has %" PRIu64 " bytes, expected at "
                   "least %" PRIu64 "; arena-salvage=yes keeps the disks that "
                   "are still whole", size, chunks * CHUNK_BYTES);
    if (size < CHUNK_BYTES)
      return fail (error, "is truncated, and nothing can be salvaged: has %"
                   PRIu64 " bytes, expected at least %" PRIu64 ", or no file",
                   size, CHUNK_BYTES);
    f->short_file = true;
  }
  if (state == LAYOUT_IN_USE && !is_of_this_boot (h)) {
    if (!o->discard)
      return fail (error, "was in use when the machine went down, so what is "
                   "in it cannot be trusted; expected a clean stop, or "
                   "arena-discard=yes to start empty");
    f->is_new = true;
  }
  return 0;
}

static int
read_header (struct arena_file *f, uint64_t size,
             const struct arena_open_options *o, struct layout_header *h,
             char **error)
{
  /* A store through a mapping works on hugetlbfs too. */
  uint64_t len = f->unit * (uint64_t) PAGE_BYTES;
  void *map;

  memset (h, 0, sizeof *h);
  if (size == 0) {
    f->is_new = true;
    return 0;
  }
  if (size < sizeof *h)
    return check_header (h, size, o, f, error);
  map = mmap (NULL, len, PROT_READ, MAP_SHARED, f->fd, 0);
  if (map == MAP_FAILED)
    return fail (error, "cannot map it: %s", strerror (errno));
  memcpy (h, map, sizeof *h);
  munmap (map, len);
  return check_header (h, size, o, f, error);
}

/* ---------------------------------------------------------------- format */

/* Begin a header that identifies an unfinished file. */
static int
write_first_header (struct arena_file *f, uint64_t size, char **error)
{
  struct layout_header h = {
    .byte_order = LAYOUT_BYTE_ORDER,
    .version = LAYOUT_VERSION, .page_size = PAGE_BYTES,
    .chunk_pages = CHUNK_PAGES, .state = LAYOUT_CREATING,
  };
  struct layout_header *map;
  uint64_t len = f->unit * (uint64_t) PAGE_BYTES;

  memcpy (h.magic, LAYOUT_MAGIC, sizeof h.magic);
  if (getrandom (&h.id, sizeof h.id, 0) != sizeof h.id)
    return fail (error, "cannot get a random number: %s", strerror (errno));
  h.checksum = layout_header_checksum (&h);
  if (size == 0 && f->unit == 1) {
    /* One write of less than a page: all of the header is there, or none of it.
     */
    if (pwrite (f->fd, &h, sizeof h, 0) != sizeof h) {
      int err = errno;

      (void) !ftruncate (f->fd, 0);
      return fail (error, "cannot write to it: %s", strerror (err));
    }
    CRASH_POINT ();
    return 0;
  }
  if (fallocate (f->fd, 0, 0, len) == -1)
    return fail (error, "cannot take space in it: %s", strerror (errno));
  map = mmap (NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);
  if (map == MAP_FAILED)
    return fail (error, "cannot map it: %s", strerror (errno));
  if (memcmp (map->magic, h.magic, sizeof h.magic) == 0)
    atomic_store (&map->state, LAYOUT_CREATING);        /* discarded */
  else
    memcpy (map, &h, sizeof h);
  munmap (map, len);
  CRASH_POINT ();
  return 0;
}

/* Turn a file that was just begun into an empty arena, not yet in use. */
static int
format (struct arena_private *p, char **error)
{
  struct arena_file *f = p->file;

  /* The old content must not be seen again. */
  if (f->unit == 1 && ftruncate (f->fd, PAGE_BYTES) == -1)
    return fail (error, "cannot truncate it: %s", strerror (errno));
  CRASH_POINT ();
  if (ftruncate (f->fd, CHUNK_BYTES) == -1)
    return fail (error, "cannot make it larger: %s", strerror (errno));
  f->size = CHUNK_BYTES;
  if (fallocate (f->fd, 0, 0, f->unit > 1 ? CHUNK_BYTES
                 : PAGE_FIRST * PAGE_BYTES) == -1)
    return fail (error, errno == EOPNOTSUPP
                 ? "its file system cannot reserve space (fallocate): %s"
                 : "cannot take space in it: %s", strerror (errno));
  CRASH_POINT ();
  memset (arena_addr (&p->a, layout_map_page (0)), 0, PAGE_BYTES);
  atomic_store (&f->header->tables, PAGE_HOLE);
  atomic_store (&f->header->chunks, 0);
  CRASH_POINT ();
  return 0;
}

int
arena_file_use (struct arena_private *p)
{
  struct layout_header *h = p->file->header;
  char id[40];

  read_boot_id (id);
  if (atomic_load (&h->state) != LAYOUT_IN_USE ||
      memcmp (h->boot_id, id, sizeof id) != 0) {
    memcpy (h->boot_id, id, sizeof id);
    CRASH_POINT ();
    atomic_store_explicit (&h->state, LAYOUT_IN_USE, memory_order_release);
    CRASH_POINT ();
  }
  /* On a medium, this comes before anything else (P7), even if our predecessor
   * was killed between the two.
   */
  return p->file->in_memory ? 0 : msync (h, PAGE_BYTES, MS_SYNC);
}

/* -------------------------------------------------------- open and close */

static bool
map_file (struct arena_private *p)
{
  return mmap (p->a.base, range_len (p), PROT_READ | PROT_WRITE,
               MAP_SHARED | MAP_FIXED | MAP_NORESERVE, p->file->fd, 0) !=
    MAP_FAILED;
}

struct arena *
arena_open (const struct arena_open_options *o, char **error)
{
  struct layout_header h;
  struct arena_private *p = NULL;
  struct arena_file *f = calloc (1, sizeof *f);
  bool created = false;
  uint32_t chunks;
  struct stat st;

  *error = NULL;
  if (f == NULL)
    return NULL;
  f->fd = open_locked (o, &st, &created, error);
  if (f->fd == -1)
    goto error1;
  mutex_init (&f->records_lock);
  if (check_file_system (f, error) == -1 ||
      read_header (f, st.st_size, o, &h, error) == -1 ||
      (f->is_new && write_first_header (f, st.st_size, error) == -1))
    goto error2;
  f->size = st.st_size;
  chunks = f->is_new ? 0 : f->short_file ? f->size / CHUNK_BYTES
    : atomic_load (&h.chunks);
  p = arena_new (o->limit, chunks);
  if (p == NULL) {
    fail (error, "cannot reserve address space: %s", strerror (errno));
    goto error2;
  }
  p->file = f;
  p->credit = p->promised = p->overdraft = 0;
  f->overdraft = p->limit / OVERDRAFT_PART;
  if (f->overdraft < LEAST_OVERDRAFT)
    f->overdraft = LEAST_OVERDRAFT;
  if (f->overdraft > ARENA_OVERDRAFT_PAGES)
    f->overdraft = ARENA_OVERDRAFT_PAGES;
  f->header = arena_addr (&p->a, 0);
  if (!map_file (p)) {
    fail (error, "cannot map it: %s", strerror (errno));
    goto error3;
  }
  (void) madvise (p->a.base, range_len (p), MADV_DONTDUMP);
  (void) madvise (p->a.base, range_len (p), MADV_HUGEPAGE);
  if (f->is_new) {
    if (format (p, error) == -1)
      goto error3;
  }
  else if (f->short_file)
    atomic_store (&f->header->chunks, chunks);
  return &p->a;

 error3:
  p->file = NULL;
  arena_destroy (&p->a);
 error2:
  if (created)
    unlink (o->path);
  arena_file_free (f);
  return NULL;
 error1:
  free (f);
  return NULL;
}

bool
arena_is_named (struct arena *a, const char *path)
{
  struct stat st;

  if (a->priv->file == NULL)
    return false;
  /* A server that has changed its user may not be able to look there any more.
   */
  return is_named (a->priv->file->fd, path) ||
    (stat (path, &st) == -1 && errno == EACCES);
}

bool
arena_is_removed (struct arena *a)
{
  struct stat st;

  return a->priv->file && fstat (a->priv->file->fd, &st) == 0 &&
    st.st_nlink == 0;
}

int
arena_close_clean (struct arena *a)
{
  struct arena_file *f = a->priv->file;

  if (f == NULL)
    return 0;
  if (fsync (f->fd) == -1)
    return -1;
  atomic_store_explicit (&f->header->state, LAYOUT_CLEAN,
                         memory_order_release);
  CRASH_POINT ();
  return fsync (f->fd);
}

void
arena_file_free (struct arena_file *f)
{
  if (f == NULL)
    return;
  mutex_destroy (&f->records_lock);
  close (f->fd);
  free (f->free);
  free (f);
}

uint64_t
arena_room (const char *path, bool *in_memory)
{
  CLEANUP_FREE char *folder = NULL;
  struct statfs fs;
  char *slash;

  *in_memory = false;
  if (statfs (path, &fs) == -1) {
    folder = strdup (path);
    if (folder == NULL)
      return 0;
    slash = strrchr (folder, '/');
    if (slash == NULL)
      strcpy (folder, ".");     /* a name is at least that long */
    else
      slash[slash == folder] = '\0';
    if (*folder == '\0' || statfs (folder, &fs) == -1)
      return 0;
  }
  *in_memory = is_in_memory (&fs);
  if (fs.f_bsize <= 0 || fs.f_blocks > UINT64_MAX / (uint64_t) fs.f_bsize)
    return 0;
  return fs.f_blocks * (uint64_t) fs.f_bsize;
}
