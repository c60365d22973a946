/* SPDX-License-Identifier: BSD-3-Clause */
/* Disks that were saved in a folder: reading and writing map and manifest. */

#include <config.h>

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "base/cleanup.h"
#include "base/printable.h"
#include "save/saved.h"

#define RUN_BYTES 24

/* No manifest is larger than this.  A disk takes some 250 bytes and its name.
 */
#define MOST_MANIFEST (UINT64_C (256) << 20)

#define WRONG(why, ...) (snprintf (why, SAVED_WHY, __VA_ARGS__), -1)

uint64_t
saved_checksum (const void *data, size_t len)
{
  const unsigned char *p = data;
  uint64_t sum = UINT64_C (0x9e3779b97f4a7c15) ^ len, word;

  for (; len > 0; p += 8, len -= len < 8 ? len : 8) {
    word = 0;
    memcpy (&word, p, len < 8 ? len : 8);
    sum = (sum ^ le64toh (word)) * UINT64_C (0xff51afd7ed558ccd);
    sum ^= sum >> 32;
  }
  return sum;
}

/* Put the name of a new folder on stable storage.  "..", for the path may be a
 * symbolic link.
 */
static int
sync_parent (int fd)
{
  CLEANUP_CLOSE int parent = openat (fd, "..",
                                     O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  /* A folder that may be passed but not read cannot be flushed. */
  return parent == -1 ? (errno == EACCES ? 0 : -1) : fsync (parent);
}

int
saved_open (const char *path, bool create, char why[SAVED_WHY])
{
  char shown[PRINTABLE_STRING];
  bool new = create && mkdir (path, 0700) == 0;
  int fd;

  printable (path, shown);
  if (create && !new && errno != EEXIST)
    return WRONG (why, "%s: %s", shown, strerror (errno));
  fd = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd == -1)
    return WRONG (why, "%s: %s", shown, strerror (errno));
  if (new && sync_parent (fd) == -1) {
    (void) WRONG (why, "%s: %s", shown, strerror (errno));
    close (fd);
    return -1;
  }
  return fd;
}

int
saved_lock (int dir, char why[SAVED_WHY])
{
  int fd = openat (dir, SAVED_LOCK, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK |
                   O_CLOEXEC, 0600);
  struct stat st, now;

  if (fd == -1)
    return WRONG (why, SAVED_LOCK ": %s", strerror (errno));
  if (fstat (fd, &st) == -1)
    (void) WRONG (why, SAVED_LOCK ": %s", strerror (errno));
  else if (!S_ISREG (st.st_mode) || (st.st_mode & 077))
    (void) WRONG (why, SAVED_LOCK ": expected a file with mode 0600, which "
                  "nobody else can lock");
  else if (flock (fd, LOCK_EX | LOCK_NB) == -1)
    (void) WRONG (why, "%s", errno == EWOULDBLOCK
                  ? "another save is using it" : strerror (errno));
  else if (fstatat (dir, SAVED_LOCK, &now, AT_SYMLINK_NOFOLLOW) == -1 ||
           now.st_ino != st.st_ino)
    (void) WRONG (why, SAVED_LOCK ": it was replaced meanwhile");
  else
    return fd;
  close (fd);
  return -1;
}

/* Add what tells a file from another one, and from itself once it was changed.
 */
static bool
stamp (int dir, const char *name, uint64_t *sum)
{
  struct stat st;

  if (fstatat (dir, name, &st, AT_SYMLINK_NOFOLLOW) == -1)
    return false;

  const uint64_t words[] = {
    *sum, st.st_dev, st.st_ino, st.st_size, st.st_mtim.tv_sec,
    st.st_mtim.tv_nsec, st.st_ctim.tv_sec, st.st_ctim.tv_nsec,
  };

  *sum = saved_checksum (words, sizeof words);
  return true;
}

uint64_t
saved_manifest_stamp (int dir)
{
  uint64_t sum = 1;

  return stamp (dir, SAVED_MANIFEST, &sum) ? sum : 0;
}

uint64_t
saved_stamp (int dir, const struct saved *s)
{
  uint64_t sum = saved_manifest_stamp (dir);
  char name[40];
  size_t i;

  if (sum == 0 || !stamp (dir, saved_name ("map", s->generation, name), &sum))
    return 0;
  for (i = 0; i < s->nfiles; i++)
    if (!stamp (dir, saved_name ("data", s->file[i].number, name), &sum) ||
        !stamp (dir, saved_name ("sums", s->file[i].number, name), &sum))
      return 0;
  return sum;
}

const char *
saved_name (const char *kind, uint32_t number, char buf[40])
{
  snprintf (buf, 40, "mblock-%s-%" PRIu32, kind, number);
  return buf;
}

int
saved_add (struct saved_disk *d, uint64_t index, uint64_t n, uint32_t file,
           uint64_t page)
{
  struct saved_run *last = d->n ? &d->run[d->n - 1] : NULL;

  while (n > 0) {
    uint32_t part = n > UINT32_MAX ? UINT32_MAX : n;

    if (last && last->file == file && last->index + last->n == index &&
        (file == 0 || last->page + last->n == page) &&
        (uint64_t) last->n + part <= UINT32_MAX)
      last->n += part;
    else {
      if (d->n == d->room) {
        size_t room = d->room ? d->room * 2 : 16;
        void *p = reallocarray (d->run, room, sizeof *d->run);

        if (p == NULL)
          return -1;
        d->run = p;
        d->room = room;
      }
      last = &d->run[d->n++];
      *last = (struct saved_run) { index, file ? page : 0, part, file };
    }
    index += part;
    page += part;
    n -= part;
  }
  return 0;
}

void
saved_name_folder (const char *path, char why[SAVED_WHY])
{
  char shown[PRINTABLE_STRING], line[SAVED_WHY];

  printable (path, shown);
  if (strncmp (why, shown, strlen (shown)) == 0)
    return;
  memcpy (line, why, sizeof line);
  snprintf (why, SAVED_WHY, "%s: %.200s", shown, line);
}

static bool
same_text (const char *a, const char *b)
{
  return a == b || (a && b && strcmp (a, b) == 0);
}

bool
saved_equal (const struct saved *a, const struct saved *b)
{
  size_t i;

  if (a->ndisks != b->ndisks || a->norigins != b->norigins)
    return false;
  for (i = 0; i < a->norigins; i++)
    if (strcmp (a->origin[i].uri, b->origin[i].uri) != 0 ||
        a->origin[i].size != b->origin[i].size ||
        a->origin[i].prefetch != b->origin[i].prefetch ||
        a->origin[i].prefetch_rate != b->origin[i].prefetch_rate)
      return false;
  for (i = 0; i < a->ndisks; i++) {
    const struct saved_disk *x = &a->disk[i], *y = &b->disk[i];

    if (strcmp (x->name, y->name) != 0 || x->size != y->size ||
        x->sector_size != y->sector_size || x->readonly != y->readonly ||
        x->quota != y->quota || x->n != y->n ||
        !uuid_equal (&x->uuid, &y->uuid) ||
        !same_text (x->parent, y->parent) ||
        x->parent_exists != y->parent_exists || x->origin != y->origin ||
        x->origin_end != y->origin_end ||
        (x->n && memcmp (x->run, y->run, x->n * sizeof *x->run) != 0))
      return false;
  }
  return true;
}

void
saved_free (struct saved *s)
{
  size_t i;

  for (i = 0; i < s->ndisks; i++) {
    free (s->disk[i].name);
    free (s->disk[i].parent);
    free (s->disk[i].run);
  }
  for (i = 0; i < s->norigins; i++)
    free (s->origin[i].uri);
  free (s->origin);
  free (s->disk);
  free (s->file);
  *s = (struct saved) { .generation = 0 };
}

/* --------------------------------------------------------------- reading */

int
saved_open_file (int dir, const char *name)
{
  return openat (dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
}

char *
saved_read_file (int dir, const char *name, uint64_t most, size_t *len)
{
  CLEANUP_CLOSE int fd = saved_open_file (dir, name);
  struct stat st;
  size_t n = 0;
  ssize_t r;
  char *buf;

  if (fd == -1 || fstat (fd, &st) == -1)
    return NULL;
  if (!S_ISREG (st.st_mode) || (uint64_t) st.st_size > most) {
    errno = EFBIG;
    return NULL;
  }
  buf = malloc (st.st_size + 1);
  while (buf && n < (size_t) st.st_size) {
    r = read (fd, buf + n, st.st_size - n);
    if (r <= 0) {
      if (r == 0)
        errno = EIO;
      free (buf);
      return NULL;
    }
    n += r;
  }
  *len = n;
  return buf;
}

static json_t *
sum_of (json_t *manifest)
{
  CLEANUP_FREE char *text = json_dumps (manifest,
                                        JSON_COMPACT | JSON_SORT_KEYS);
  char sum[20];

  if (text == NULL)
    return NULL;
  snprintf (sum, sizeof sum, "%016" PRIx64,
            saved_checksum (text, strlen (text)));
  return json_string (sum);
}

/* Get an integer member from least to most.  Returns false if there is none. */
static bool
get (const json_t *object, const char *key, uint64_t least, uint64_t most,
     uint64_t *n)
{
  const json_t *v = json_object_get (object, key);

  *n = json_is_integer (v) && json_integer_value (v) >= 0
    ? (uint64_t) json_integer_value (v) : 0;
  return json_is_integer (v) && json_integer_value (v) >= 0 && *n >= least &&
    *n <= most;
}

static int
read_files (int dir, const json_t *files, struct saved *s, char why[SAVED_WHY])
{
  uint64_t number, pages, live;
  struct stat data, sums;
  char name[40], other[40];
  const json_t *v;
  size_t i;

  s->file = calloc (json_array_size (files) + 1, sizeof *s->file);
  if (s->file == NULL)
    return WRONG (why, "out of memory");
  json_array_foreach (files, i, v) {
    if (!get (v, "file", 1, s->generation, &number) ||
        !get (v, "pages", 0, INT64_MAX / SAVED_PAGE, &pages) ||
        !get (v, "live", 0, pages, &live) ||
        (i && number <= s->file[i - 1].number))
      return WRONG (why, SAVED_MANIFEST ": file %zu makes no sense", i);
    s->file[i] = (struct saved_file) { number, pages, live };
    s->nfiles = i + 1;
    if (fstatat (dir, saved_name ("data", number, name), &data,
                 AT_SYMLINK_NOFOLLOW) == -1)
      return WRONG (why, "%s: %s", name, strerror (errno));
    if (fstatat (dir, saved_name ("sums", number, other), &sums,
                 AT_SYMLINK_NOFOLLOW) == -1)
      return WRONG (why, "%s: %s", other, strerror (errno));
    if (!S_ISREG (data.st_mode) ||
        (uint64_t) data.st_size != pages * SAVED_PAGE)
      return WRONG (why, "%s: expected a file of %" PRIu64 " bytes", name,
                    pages * SAVED_PAGE);
    if (!S_ISREG (sums.st_mode) || (uint64_t) sums.st_size != pages * 8)
      return WRONG (why, "%s: expected a file of %" PRIu64 " bytes", other,
                    pages * 8);
  }
  return 0;
}

size_t
saved_find_file (const struct saved *s, uint32_t number)
{
  size_t low = 0, high = s->nfiles;

  while (low < high) {
    size_t mid = (low + high) / 2;

    if (s->file[mid].number == number)
      return mid;
    if (number < s->file[mid].number)
      high = mid;
    else
      low = mid + 1;
  }
  return s->nfiles;
}

struct saved_disk *
saved_find_disk (const struct saved *s, const char *name)
{
  size_t low = 0, high = s->ndisks;

  while (low < high) {
    size_t mid = (low + high) / 2;
    int c = strcmp (name, s->disk[mid].name);

    if (c == 0)
      return &s->disk[mid];
    if (c < 0)
      high = mid;
    else
      low = mid + 1;
  }
  return NULL;
}

/* Read the runs of a disk from the map. */
static int
read_runs (const struct saved *s, struct saved_disk *d, const char *map,
           uint64_t n)
{
  uint64_t pages = d->size / SAVED_PAGE + (d->size % SAVED_PAGE > 0);
  uint64_t next = 0, i;

  d->run = calloc (n + 1, sizeof *d->run);
  if (d->run == NULL)
    return -1;
  for (i = 0; i < n; i++, map += RUN_BYTES) {
    struct saved_run r;
    const struct saved_file *file = NULL;

    memcpy (&r.index, map, 8);
    memcpy (&r.page, map + 8, 8);
    memcpy (&r.n, map + 16, 4);
    memcpy (&r.file, map + 20, 4);
    r = (struct saved_run) { le64toh (r.index), le64toh (r.page),
                             le32toh (r.n), le32toh (r.file) };
    if (r.n == 0 || r.index < next || r.index > pages ||
        r.n > pages - r.index)
      return -1;
    next = r.index + r.n;
    if (r.file) {
      size_t at = saved_find_file (s, r.file);

      file = at < s->nfiles ? &s->file[at] : NULL;
    }
    if (r.file ? file == NULL || r.page > file->pages ||
        r.n > file->pages - r.page : r.page != 0)
      return -1;
    d->run[i] = r;
  }
  d->n = d->room = n;
  return 0;
}

/* Read what a disk was cloned from, and its origin.  Returns false if they make
 * no sense.
 */
static bool
read_relatives (const struct saved *s, struct saved_disk *d, const json_t *v)
{
  const json_t *parent = json_object_get (v, "parent");
  const json_t *exists = json_object_get (v, "parent_exists");
  uint64_t origin;

  d->origin = SAVED_NO_ORIGIN;
  if (json_object_get (v, "origin")) {
    if (s->norigins == 0 || !get (v, "origin", 0, s->norigins - 1, &origin) ||
        !get (v, "origin_end", 0, d->size, &d->origin_end) ||
        d->origin_end > s->origin[origin].size)
      return false;
    d->origin = origin;
  }
  if (parent == NULL || json_is_null (parent))
    return exists == NULL || json_is_false (exists);
  d->parent_exists = json_is_true (exists);
  if (!json_is_string (parent) || !json_is_boolean (exists))
    return false;
  d->parent = strdup (json_string_value (parent));
  return d->parent != NULL;
}

static int
read_origins (const json_t *origins, struct saved *s, char why[SAVED_WHY])
{
  const json_t *v;
  size_t i;

  s->origin = calloc (json_array_size (origins) + 1, sizeof *s->origin);
  if (s->origin == NULL)
    return WRONG (why, "out of memory");
  json_array_foreach (origins, i, v) {
    const char *uri = json_string_value (json_object_get (v, "uri"));
    const json_t *prefetch = json_object_get (v, "prefetch");

    if (uri == NULL || !json_is_boolean (prefetch) ||
        !get (v, "size", 0, INT64_MAX, &s->origin[i].size) ||
        (json_object_get (v, "prefetch_rate") &&
         !get (v, "prefetch_rate", 1, INT64_MAX, &s->origin[i].prefetch_rate)))
      return WRONG (why, SAVED_MANIFEST ": origin %zu makes no sense", i);
    s->origin[i].prefetch = json_is_true (prefetch);
    s->origin[i].uri = strdup (uri);
    if (s->origin[i].uri == NULL)
      return WRONG (why, "out of memory");
    s->norigins = i + 1;
  }
  return 0;
}

/* Read a disk of the manifest; *map is the part of the map not yet read. */
static int
read_disk (struct saved *s, const json_t *v, size_t i, const char **map,
           size_t *left, char why[SAVED_WHY])
{
  struct saved_disk *d = &s->disk[i];
  const char *name = json_string_value (json_object_get (v, "name"));
  const char *sum = json_string_value (json_object_get (v, "checksum"));
  const json_t *quota = json_object_get (v, "quota");
  const json_t *readonly = json_object_get (v, "readonly");
  const json_t *uuid = json_object_get (v, "uuid");
  uint64_t sector, runs, bytes;
  char ours[20], shown[PRINTABLE_STRING];

  printable_name (name ? name : "", shown);
  s->ndisks = i + 1;            /* so that saved_free finds what it has */
  if (name == NULL || sum == NULL || !json_is_boolean (readonly) ||
      (i && strcmp (s->disk[i - 1].name, name) >= 0) ||
      !get (v, "size", 0, INT64_MAX, &d->size) ||
      !get (v, "sector_size", 1, 65536, &sector) ||
      (sector & (sector - 1)) || (sector > 1 && sector < 512) ||
      d->size % sector || !get (v, "runs", 0, *left / RUN_BYTES, &runs) ||
      !(json_is_null (quota) || get (v, "quota", 0, INT64_MAX, &d->quota)) ||
      (uuid && !(json_is_string (uuid) &&
                 uuid_parse (json_string_value (uuid), &d->uuid))) ||
      !read_relatives (s, d, v))
    return WRONG (why, SAVED_MANIFEST ": disk \"%s\" makes no sense", shown);
  d->sector_size = sector;
  d->readonly = json_is_true (readonly);
  if (json_is_null (quota))
    d->quota = UINT64_MAX;
  bytes = runs * RUN_BYTES;
  snprintf (ours, sizeof ours, "%016" PRIx64, saved_checksum (*map, bytes));
  if (strcmp (ours, sum) != 0)
    return WRONG (why, "the map of disk \"%s\" is damaged", shown);
  d->name = strdup (name);
  if (d->name == NULL)
    return WRONG (why, "out of memory");
  if (read_runs (s, d, *map, runs) == -1)
    return WRONG (why, "the map of disk \"%s\" makes no sense", shown);
  *map += bytes;
  *left -= bytes;
  return 0;
}

/* The size of the map that has the runs of these disks. */
static uint64_t
map_bytes (const json_t *disks)
{
  uint64_t total = 0, runs;
  const json_t *v;
  size_t i;

  json_array_foreach (disks, i, v)
    if (get (v, "runs", 0, (INT64_MAX - total) / RUN_BYTES, &runs))
      total += runs * RUN_BYTES;
  return total;
}

/* saved_read_file has failed with errno: say so. */
static int
unreadable (const char *name, char why[SAVED_WHY])
{
  return WRONG (why, "%s: %s", name, errno == EFBIG
                ? "expected a regular file, and not such a large one"
                : strerror (errno));
}

static int
read_manifest (int dir, json_t *m, struct saved *s, char why[SAVED_WHY])
{
  const json_t *disks = json_object_get (m, "disks");
  const json_t *files = json_object_get (m, "files");
  const json_t *origins = json_object_get (m, "origins");
  json_auto_t *sum = json_incref (json_object_get (m, "checksum"));
  json_auto_t *ours = NULL;
  CLEANUP_FREE char *map = NULL;
  const char *at, *format = json_string_value (json_object_get (m, "format"));
  uint64_t version, generation;
  char name[40];
  const json_t *v;
  size_t len, i;

  if (format == NULL || strcmp (format, "mblock-save") != 0)
    return WRONG (why, SAVED_MANIFEST ": expected \"format\": \"mblock-save\"");
  if (!get (m, "version", 1, SAVED_VERSION, &version))
    return WRONG (why, SAVED_MANIFEST ": expected \"version\": from 1 to %d, "
                  "which this program knows", SAVED_VERSION);
  json_object_del (m, "checksum");
  ours = sum_of (m);
  if (sum == NULL || ours == NULL || !json_equal (sum, ours))
    return WRONG (why, SAVED_MANIFEST ": it is damaged: its checksum is wrong");
  if (!get (m, "generation", 1, SAVED_LAST, &generation) ||
      !json_is_array (disks) || !json_is_array (files) ||
      (version == 1 ? origins != NULL : !json_is_array (origins)))
    return WRONG (why, SAVED_MANIFEST ": it makes no sense");
  s->generation = generation;
  if (read_files (dir, files, s, why) == -1 ||
      read_origins (origins, s, why) == -1)
    return -1;
  at = map = saved_read_file (dir, saved_name ("map", generation, name),
                              map_bytes (disks), &len);
  if (map == NULL)
    return unreadable (name, why);
  s->disk = calloc (json_array_size (disks) + 1, sizeof *s->disk);
  if (s->disk == NULL)
    return WRONG (why, "out of memory");
  json_array_foreach (disks, i, v)
    if (read_disk (s, v, i, &at, &len, why) == -1)
      return -1;
  return len ? WRONG (why, "%s: it is longer than expected", name) : 0;
}

int
saved_read (int dir, struct saved *s, char why[SAVED_WHY])
{
  CLEANUP_FREE char *text = NULL;
  json_auto_t *m = NULL;
  json_error_t error;
  size_t len;

  *s = (struct saved) { .generation = 0 };
  text = saved_read_file (dir, SAVED_MANIFEST, MOST_MANIFEST, &len);
  if (text == NULL)
    return errno == ENOENT ? 0 : unreadable (SAVED_MANIFEST, why);
  m = json_loadb (text, len, JSON_REJECT_DUPLICATES, &error);
  if (!json_is_object (m))
    return WRONG (why, SAVED_MANIFEST ": it is damaged: it is not JSON");
  return read_manifest (dir, m, s, why);
}

/* --------------------------------------------------------------- writing */

static int
write_all (int fd, const char *buf, size_t len)
{
  while (len > 0) {
    ssize_t n = write (fd, buf, len);

    if (n == -1)
      return -1;
    buf += n;
    len -= n;
  }
  return 0;
}

/* Write a new file, and flush it to stable storage. */
static int
write_file (int dir, const char *name, const char *buf, size_t len,
            char why[SAVED_WHY])
{
  CLEANUP_CLOSE int fd = -1;

  unlinkat (dir, name, 0);
  fd = openat (dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd == -1 || write_all (fd, buf, len) == -1 || fsync (fd) == -1) {
    (void) WRONG (why, "%s: %s", name, strerror (errno));
    unlinkat (dir, name, 0);
    return -1;
  }
  return 0;
}

static char *
encode_runs (const struct saved *s, size_t *len)
{
  size_t i, j, n = 0;
  char *map, *p;

  for (i = 0; i < s->ndisks; i++)
    n += s->disk[i].n;
  p = map = malloc (n * RUN_BYTES + 1);
  for (i = 0; map && i < s->ndisks; i++)
    for (j = 0; j < s->disk[i].n; j++, p += RUN_BYTES) {
      const struct saved_run *run = &s->disk[i].run[j];
      const uint64_t index = htole64 (run->index), page = htole64 (run->page);
      const uint32_t count = htole32 (run->n), file = htole32 (run->file);

      memcpy (p, &index, 8);
      memcpy (p + 8, &page, 8);
      memcpy (p + 16, &count, 4);
      memcpy (p + 20, &file, 4);
    }
  *len = n * RUN_BYTES;
  return map;
}

static json_t *
encode_disk (const struct saved_disk *d, const char *map)
{
  bool over = d->origin != SAVED_NO_ORIGIN;
  char sum[20], uuid[UUID_STRING];

  snprintf (sum, sizeof sum, "%016" PRIx64,
            saved_checksum (map, d->n * RUN_BYTES));
  return json_pack ("{s:s, s:s*, s:I, s:I, s:b, s:o, s:s?, s:b, s:o*, s:o*, "
                    "s:I, s:s}",
                    "name", d->name, "uuid", uuid_is_set (&d->uuid)
                    ? uuid_format (&d->uuid, uuid) : NULL,
                    "size", (json_int_t) d->size,
                    "sector_size", (json_int_t) d->sector_size,
                    "readonly", d->readonly,
                    "quota", d->quota == UINT64_MAX ? json_null ()
                    : json_integer (d->quota),
                    "parent", d->parent, "parent_exists", d->parent_exists,
                    "origin", over ? json_integer (d->origin) : NULL,
                    "origin_end", over ? json_integer (d->origin_end) : NULL,
                    "runs", (json_int_t) d->n, "checksum", sum);
}

static json_t *
encode_origins (const struct saved *s)
{
  json_t *origins = json_array ();
  size_t i;

  for (i = 0; i < s->norigins; i++) {
    const struct saved_origin *o = &s->origin[i];
    json_t *rate = o->prefetch_rate ? json_integer (o->prefetch_rate) : NULL;

    json_array_append_new (
      origins, json_pack ("{s:s, s:I, s:b, s:o*}", "uri", o->uri, "size",
                          (json_int_t) o->size, "prefetch", o->prefetch,
                          "prefetch_rate", rate));
  }
  if (json_array_size (origins) == s->norigins)
    return origins;
  json_decref (origins);
  return NULL;
}

static char *
encode_manifest (const struct saved *s, const char *map)
{
  json_t *disks = json_array (), *files = json_array ();
  json_auto_t *m = json_pack ("{s:s, s:i, s:I, s:o, s:o}",
                              "format", "mblock-save",
                              "version", s->norigins ? SAVED_VERSION : 1,
                              "generation", (json_int_t) s->generation,
                              "disks", disks, "files", files);
  json_t *sum;
  size_t i;

  for (i = 0; m && i < s->ndisks; map += s->disk[i].n * RUN_BYTES, i++)
    if (json_array_append_new (disks, encode_disk (&s->disk[i], map)) == -1)
      return NULL;
  for (i = 0; m && i < s->nfiles; i++)
    if (json_array_append_new (
          files, json_pack ("{s:I, s:I, s:I}",
                            "file", (json_int_t) s->file[i].number,
                            "pages", (json_int_t) s->file[i].pages,
                            "live", (json_int_t) s->file[i].live)) == -1)
      return NULL;
  if (s->norigins &&
      json_object_set_new (m, "origins", encode_origins (s)) == -1)
    return NULL;
  sum = m ? sum_of (m) : NULL;
  if (sum == NULL || json_object_set_new (m, "checksum", sum) == -1)
    return NULL;
  return json_dumps (m, JSON_INDENT (1));
}

int
saved_write (int dir, const struct saved *s, char why[SAVED_WHY])
{
  CLEANUP_FREE char *map = NULL, *manifest = NULL;
  char name[40];
  size_t len, i;

  /* saved_read would refuse it. */
  for (i = 1; i < s->ndisks; i++)
    if (strcmp (s->disk[i - 1].name, s->disk[i].name) >= 0)
      return WRONG (why, "the names of the disks are not in order");
  map = encode_runs (s, &len);
  manifest = map ? encode_manifest (s, map) : NULL;
  if (manifest == NULL)
    return WRONG (why, "out of memory");
  if (strlen (manifest) > MOST_MANIFEST)
    return WRONG (why, SAVED_MANIFEST ": it would have more than %" PRIu64
                  " bytes: expected fewer disks", MOST_MANIFEST);
  saved_name ("map", s->generation, name);
  if (write_file (dir, name, map, len, why) == -1)
    return -1;
  if (write_file (dir, SAVED_NEW_MANIFEST, manifest, strlen (manifest), why) ==
      -1)
    return -1;
  /* V1: the names of the files must be on stable storage, too. */
  if (fsync (dir) == -1 ||
      renameat (dir, SAVED_NEW_MANIFEST, dir, SAVED_MANIFEST) == -1 ||
      fsync (dir) == -1)
    return WRONG (why, SAVED_MANIFEST ": %s", strerror (errno));
  return 0;
}

static bool
is_garbage (const struct saved *s, const char *name)
{
  static const char *const kinds[] = { "map", "data", "sums" };
  char kind[8], exact[40];
  uint32_t number;
  size_t i;

  if (strcmp (name, SAVED_NEW_MANIFEST) == 0)
    return true;
  if (sscanf (name, "mblock-%7[a-z]-%" SCNu32, kind, &number) != 2)
    return false;
  for (i = 0; i < 3; i++)
    if (strcmp (kind, kinds[i]) == 0 &&
        strcmp (saved_name (kind, number, exact), name) == 0)
      return i == 0 ? number != s->generation
        : saved_find_file (s, number) == s->nfiles;
  return false;
}

void
saved_clean (int dir, const struct saved *s)
{
  int fd = openat (dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *d = fd >= 0 ? fdopendir (fd) : NULL;
  struct dirent *e;

  while (d && (e = readdir (d)) != NULL)
    if (is_garbage (s, e->d_name))
      unlinkat (dir, e->d_name, 0);
  if (d)
    closedir (d);
}
