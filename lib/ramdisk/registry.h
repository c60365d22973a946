/* SPDX-License-Identifier: BSD-3-Clause */
/* The registry: the names of disks.
 *
 * Design
 *
 * A tree of entries, sorted by name (registry-tree.c).  It is used only when a
 * connection opens or closes, and by control operations, so one lock guards all
 * of it.  A name is found, added and taken out in logarithmic time, and a list
 * can be read page by page in the order of names.
 *
 * A named disk is held by its name and by each open handle.  As with unlink(2),
 * if the name is removed, open handles keep the disk, and it is freed with the
 * last of them.  Control operations hold a disk in the same way while they work
 * on it, but have not opened it.
 *
 * Invariants
 *
 *   G1  Names are unique, valid UTF-8, of at most REGISTRY_MAX_NAME bytes.
 *   G2  A disk is freed when it has neither name nor handle.
 *   G3  A disk that was created by opening its name is ephemeral until it is
 *       written, resized, renamed, set, cloned or named in registry_create; or
 *       trimmed, if it is a clone.  An ephemeral disk loses its name when
 *       nobody has opened it any more, also if somebody still holds it.  It
 *       does not while a clone is being made; a clone that fails leaves it
 *       ephemeral.
 *   G4  A name is replaced in one step; at no time is it missing.
 *
 *   G5  The listener is called with the changes of a name in their order, with
 *       the lock held, so it must not call the registry.  It is not told of
 *       changes to a disk that has lost its name.
 *   G6  In an arena's file, a name changes before it changes here, with the
 *       lock held.  So everything that was seen, or answered, is recovered.
 *
 *   G7  With auto_destroy, a disk that was made by opening its name loses it
 *       when nobody has opened it any more, even if it was written, resized,
 *       renamed, set or cloned; but not if registry_create or registry_stay
 *       named it.  A disk that a reset made stays until a client has used it,
 *       and so does one that was recovered: its clients may come back, and
 *       whoever sends no request has only looked.  When the process ends, its
 *       clients have not left (registry_end).
 *
 *   G8  A disk has a UUID from the time that it gets a name, and keeps it when
 *       it is written, resized or renamed, and in an arena's file.  A clone,
 *       and a disk that replaces another one, also in a reset, gets a new one.
 *       No two names have the same: a disk that brings one with it
 *       (registry_new) gets another if it is taken.
 *
 * Thread-safety: all may be called from any thread, except registry_new,
 * registry_listen and registry_free.  They take the registry's lock inside;
 * registry_clone and registry_resize also take a tree's lock, but not both at
 * once; registry_rename holds both.  Resizes of one disk wait for each other,
 * until each is reported.
 */

#ifndef MRAMDISK_REGISTRY_H
#define MRAMDISK_REGISTRY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/uuid.h"
#include "ramdisk/disk.h"
#include "ramdisk/recover.h"
#include "ramdisk/stats.h"

/* The NBD protocol's limit for strings ("Values"), in bytes. */
#define REGISTRY_MAX_NAME 4096

struct registry_options {
  uint64_t default_size;        /* bytes, of a disk made by opening it */
  uint64_t max_size;            /* bytes, of any disk */
  uint32_t sector_size;         /* bytes, of a disk made by opening; 1: any
                                 * bytes */
  size_t max_disks;
  bool auto_create;             /* opening an unknown name creates one … */
  const char *template_name;    /* … that is a clone of this one, or NULL */
  uint64_t template_quota;      /* bytes, of such a clone; TREE_NO_QUOTA */
  bool auto_destroy;            /* G7 */
  bool keep_same;               /* no detect_same (disk.h) */
};

/* What to do about a disk that clients have open: change it all the same, and
 * leave it to them; or refuse.
 */
enum if_open { IF_OPEN_KEEP, IF_OPEN_ERROR };

/* What a disk is made with. */
struct disk_options {
  uint64_t size;                /* bytes; a clone has that of its source */
  uint32_t sector_size;         /* the same */
  bool readonly;
  uint64_t quota;               /* bytes, or TREE_NO_QUOTA */
  enum if_open if_open;         /* about a disk that is to be replaced */
  uint64_t replaces;            /* if not 0, replace only the disk of this id */
  struct origin *origin;        /* of a new disk, or NULL; still the caller's */
};

/* What to do if the name exists. */
enum if_exists { IF_EXISTS_ERROR, IF_EXISTS_IGNORE, IF_EXISTS_REPLACE };

/* What was created. */
enum made { MADE_NEW, MADE_NOTHING, MADE_REPLACEMENT };

enum change {
  CHANGE_CREATED,
  CHANGE_DESTROYED,
  CHANGE_RESIZED,
  CHANGE_CLONED,
  CHANGE_REPLACED,              /* by a new disk, or a clone if from is given */
  CHANGE_SET,                   /* readonly or quota */
  CHANGE_QUOTA,                 /* a write was refused for it */
  CHANGE_RENAMED,               /* from is the name that it had */
  CHANGE_QUOTA_LOW,             /* little of its quota is left */
};

struct change_report {
  enum change change;
  const char *name;
  const char *from;             /* what was cloned or renamed, or NULL */
  const struct disk *disk;
  uint64_t gone;                /* the id of the disk that has lost its name:
                                 * CHANGE_DESTROYED, CHANGE_REPLACED */
  uint64_t old_size;            /* CHANGE_RESIZED */
};

struct origins;
struct registry;

/* A disk in the registry.  Holders of the disk may read the fields. */
struct named_disk {
  struct disk *disk;
  uint64_t id;                  /* no other disk of this process has had it */
  struct uuid uuid;             /* G8; the same while there is a name */
  char *_Atomic name;           /* the last that it had; stays in memory until
                                   the disk goes, even if it is renamed */
  bool was_pushed_since;        /* registry_pushed_since, in an earlier process
                                 * with the arena's file */
};

/* Room for an address, as text: a numeric IPv6 address with scope and port. */
#define REGISTRY_ADDRESS 80
#define REGISTRY_IDENTITY 256

/* Who is at the other end of a connection, as far as the system tells. */
struct registry_peer {
  char address[REGISTRY_ADDRESS];       /* "127.0.0.1:4242", "unix"; "": none */
  bool is_filter;               /* no client: a filter's own context */
  int32_t pid;                  /* of a Unix socket's peer … */
  int64_t uid, gid;             /* … and who that is; -1: not known */
  /* Escaped (printable.h); "": none or not known. */
  char security_context[REGISTRY_IDENTITY]; /* of a Unix socket's peer */
  char tls_dn[REGISTRY_IDENTITY]; /* whom its certificate names … */
  char tls_issuer_dn[REGISTRY_IDENTITY]; /* … and who issued it */
};

/* Whether a client is to be disconnected, so that its requests fail: when it
 * has got its replies, or at once.
 */
enum registry_end { CLIENT_STAYS, CLIENT_LEAVES, CLIENT_LEAVES_AT_ONCE };

/* A client that has a disk open. */
struct registry_client {
  struct named_disk *d;
  struct stats *stats;
  uint64_t id;                  /* no other client of this process has had it */
  struct registry_peer peer;
  struct timespec since;        /* CLOCK_REALTIME */
  uint64_t socket;              /* for who can end the connection; 0: nobody */
  _Atomic enum registry_end ended;
  _Atomic uint64_t excess;      /* see buffers.h: of all its threads */
  /* The registry's lists, the newest first: of the disk's clients, and of all.
   */
  struct registry_client *prev, *next, *all_prev, *all_next;
};

/* The same for those who ask, as it is at one moment. */
struct registry_client_info {
  uint64_t id, disk_id;
  const char *disk;             /* its name, or the one that it had */
  bool listed;                  /* it has the name still */
  struct registry_peer peer;
  struct timespec since;        /* CLOCK_REALTIME */
  int64_t last;                 /* of a request: CLOCK_REALTIME, s; 0: none */
  uint64_t requests, errors;
  uint64_t bytes_read, bytes_written;
};

/* The arena stays the caller's.  NULL: no memory. */
struct registry *registry_new (struct arena *arena,
                               const struct registry_options *options);

/* Recover the disks in the file of an arena from arena_open, before any other
 * call. max_disks and max_size do not apply to them.  Origins are put into the
 * set, which is not started yet.  warn is called with a line for each disk that
 * salvage gives up, and each origin whose fetched pages are.  Returns 0, or -1
 * with *error as arena_recover.
 */
int registry_recover (struct registry *r, struct origins *origins, bool salvage,
                      void (*warn) (void *opaque, const char *line),
                      void *opaque, struct recovery *result, char **error);

/* Free the registry and every disk without open handles.  In an arena's file,
 * the disks stay.
 */
void registry_free (struct registry *r);

/* Call fn at each change (G5). */
void registry_listen (struct registry *r,
                      void (*fn) (void *opaque, const struct change_report *),
                      void *opaque);

/* Returns NULL if name is valid for a disk, else what was expected. */
const char *registry_check_name (const char *name);

/* Make a disk of that name, which may be empty.  A disk that is replaced gives
 * up its name in the same step (G4), and stays to those who have it open.
 * *made, which may be NULL, says what was done.
 * Returns 0, or -1 with errno EEXIST, EINVAL (size, sector size), EFBIG (over
 * max_size), ENFILE (max_disks reached), ENAMETOOLONG or EILSEQ (name), EBUSY
 * (the disk to be replaced is open, and if_open says to refuse), ENOMEM.
 */
int registry_create (struct registry *r, const char *name,
                     const struct disk_options *options,
                     enum if_exists if_exists, enum made *made);

/* The same with a disk that was made elsewhere, of this arena, which nobody
 * else uses; takes it over, also if it fails.  Size and sector size are the
 * disk's.
 */
int registry_add (struct registry *r, const char *name, struct disk *disk,
                  const struct disk_options *options,
                  enum if_exists if_exists, enum made *made);

/* Open a disk, and make it if it does not exist and auto_create says so: empty,
 * or as a clone of the template, with its size and sector size.  The template
 * is never made that way.
 * Returns a handle for registry_leave, or NULL with errno ENOENT (also for
 * a template that does not exist), or as registry_create.
 */
struct named_disk *registry_open (struct registry *r, const char *name);

/* The same, for a filter, which is no client. */
struct named_disk *registry_open_for_filter (struct registry *r,
                                             const char *name);

/* The same as registry_open, but make nothing. */
struct named_disk *registry_open_existing (struct registry *r,
                                           const char *name);

/* Close a handle of registry_open that has no client (leave; by_filter: of
 * registry_open_for_filter); or one that only holds the disk, as it does after
 * registry_disconnect (close).  Closing what was opened as if it were only held
 * is allowed: the disk then keeps its name until nobody holds it either.
 */
void registry_leave (struct registry *r, struct named_disk *d, bool by_filter);
void registry_close (struct registry *r, struct named_disk *d);

/* The process ends, so handles are closed although no client has left: from now
 * on, disks with auto_destroy stay in an arena's file (G7).
 */
void registry_end (struct registry *r);

/* Hold a disk that exists.  Returns NULL with errno ENOENT. */
struct named_disk *registry_hold (struct registry *r, const char *name);

/* Is there a disk of that name?  registry_stay: if so, it does not go with its
 * last client (G3, G7).
 */
bool registry_exists (struct registry *r, const char *name);
bool registry_stay (struct registry *r, const char *name);

/* Is a disk that the caller has open ephemeral, and not written so far (G3)? */
bool registry_is_ephemeral (struct registry *r, struct named_disk *d);

/* Note in the arena's file that a push is about to begin that sends what has
 * changed since this disk, which the caller has open.
 */
void registry_pushed_since (struct registry *r, struct named_disk *d);

/* Open up to n disks whose names follow the given one (NULL: the first disks),
 * in the order of strcmp(3).  Returns their number; *more: whether others
 * follow; last, unless it is NULL or there are none: the name of the last disk
 * as it was then, with room for REGISTRY_MAX_NAME bytes and the final zero.
 * By now that disk may have another name, after which the next page must not
 * begin.
 */
size_t registry_hold_page (struct registry *r, const char *after, size_t n,
                           struct named_disk **d, bool *more, char *last);

/* Count a client and its statistics to a disk that the caller has open, by
 * registry_open_for_filter if it is a filter.  Returns 0, or -1: no memory.
 * Once registry_disconnect has returned, the client is none any more, and only
 * holds the disk: registry_close.
 */
int registry_connect (struct registry *r, struct registry_client *c,
                      struct named_disk *d, const struct registry_peer *peer);
void registry_disconnect (struct registry *r, struct registry_client *c);

/* Call fn for each client of a disk that the caller has open, or for all (d is
 * NULL), if its id is less than before; the newest first, until fn returns
 * other than 0, and return that.  The lock is held: fn calls nothing here, and
 * keeps no pointer.
 */
int registry_clients (struct registry *r, struct named_disk *d, uint64_t before,
                      int (*fn) (void *opaque,
                                 const struct registry_client_info *info),
                      void *opaque);

/* The number of a client's socket, for registry_end_client. */
void registry_client_socket (struct registry *r, struct registry_client *c,
                             uint64_t socket);

/* Have the requests of the client with that id fail from now on.  *socket is
 * that of the client.  Returns 0, or -1 with errno ENOENT.
 */
int registry_end_client (struct registry *r, uint64_t id, enum registry_end how,
                         uint64_t *socket);

/* Open up to n disks that have lost their names and that somebody has open,
 * with ids greater than after, in the order of ids.
 * Returns how many, or -1: no memory; *more: there are others.
 */
int registry_hold_deleted (struct registry *r, uint64_t after, size_t n,
                           struct named_disk **d, bool *more);

/* Returns the number of connections of a disk; *sum: the statistics of all that
 * it ever had.
 */
size_t registry_stats (struct registry *r, struct named_disk *d,
                       struct stats_sum *sum);

/* The same for all disks together, including destroyed ones. */
size_t registry_all_stats (struct registry *r, struct stats_sum *sum);
size_t registry_connections (struct registry *r, struct named_disk *d);

/* Do clients have it open?  A filter's own context is none: the filter itself
 * has to notice that the name means another disk.
 */
bool registry_is_in_use (struct registry *r, struct named_disk *d);

/* Take the name away.  The disk goes when nobody has it open.
 * Returns 0, or -1 with errno ENOENT, or EBUSY (clients have it open, and
 * if_open says to refuse).
 */
int registry_destroy_if (struct registry *r, const char *name,
                         enum if_open if_open);

/* The same, whoever has it open. */
int registry_destroy (struct registry *r, const char *name);

/* Make `to` a clone of `from`; otherwise as registry_create.  Returns 0, or -1
 * with errno ENOENT (from), or as registry_create.
 */
int registry_clone (struct registry *r, const char *from, const char *to,
                    const struct disk_options *options,
                    enum if_exists if_exists, enum made *made);

/* The name of the disk that d, which the caller has open, was cloned from; the
 * last one that it had.  *exists: it has it still.  The caller frees it.
 * NULL: d is no clone, or there is no memory.  After a recovery, also: the
 * parent was gone before.
 */
char *registry_parent (struct registry *r, struct named_disk *d, bool *exists);

/* The id of that disk; 0: there is none, or it has lost its name. */
uint64_t registry_parent_id (struct registry *r, struct named_disk *d);

/* Has the disk, which the caller has open, its name still? */
bool registry_is_listed (struct registry *r, struct named_disk *d);

/* Replace a clone by a new clone of its parent, in one step (G4); it keeps its
 * read-only flag, its quota and its auto-destroy (G7).  *parent becomes the
 * parent's name, which the caller frees.  Returns 0, or -1 with errno ENOENT
 * (name), ECHILD (it is no clone, or its parent is gone), EBUSY (as
 * registry_destroy_if), ESTALE (another disk has got the name meanwhile), or as
 * registry_clone.
 */
int registry_reset (struct registry *r, const char *name, enum if_open if_open,
                    char **parent);

/* Give a disk another name, in one step: whoever looks finds the disk under
 * one of the two.  Those who have it open keep it.
 * Returns 0, or -1 with errno ENOENT, EEXIST (new_name is taken), ENAMETOOLONG
 * or EILSEQ (new_name), ENOSPC (in the arena's file), ENOMEM.
 */
int registry_rename (struct registry *r, const char *name,
                     const char *new_name);

/* What registry_add_all adds. */
struct registry_new {
  const char *name;             /* no two are the same */
  struct disk *disk;            /* as for registry_add */
  struct named_disk *source;    /* of which it is a clone, held; or NULL */
  const char *parent;           /* the name of what it was cloned from in
                                 * another life, or NULL; … */
  size_t parent_index;          /* … which is the one added with this index;
                                 * SIZE_MAX: not added */
  bool readonly;
  uint64_t quota;               /* bytes, or TREE_NO_QUOTA */
  struct uuid uuid;             /* that it had before (G8); none: a new one */
};

/* Give names to several disks in one step: nobody finds some of them, and if
 * one cannot be had there is none.  (In an arena's file a crash may leave
 * some.)  Takes the disks over, also if it fails.  Then *bad is the one that
 * failed, if errno is EEXIST, EBUSY, ENFILE, ENAMETOOLONG or EILSEQ; else as
 * registry_create.
 */
int registry_add_all (struct registry *r, const struct registry_new *new,
                      size_t n, enum if_exists if_exists,
                      enum if_open if_open, size_t *bad);

struct registry_clone {
  const char *from, *to;
};

/* Clone several disks as they are at one instant (disk_clone_together), and
 * give the clones their names in one step.  Errors as registry_add_all, and
 * ENOENT (from), also with *bad.
 */
int registry_clone_all (struct registry *r, const struct registry_clone *clone,
                        size_t n, const struct disk_options *options,
                        enum if_exists if_exists, size_t *bad);

/* Change the size.  *old becomes what it was.
 * Returns 0, or -1 with errno ENOENT, EFBIG (over max_size), or as disk_resize.
 */
int registry_resize (struct registry *r, const char *name, uint64_t size,
                     uint64_t *old);

/* Change the values that are not NULL.  *now: the resulting options.  Returns
 * 0, or -1 with errno ENOENT.
 */
int registry_set (struct registry *r, const char *name, const bool *readonly,
                  const uint64_t *quota, struct disk_options *now);

/* Report to the listener that a write was refused for the disk's quota: at most
 * once a second for each disk, and not for a disk that has lost its name.
 */
void registry_quota_reached (struct registry *r, struct named_disk *d);

/* Report each disk that owns at least low percent of its quota to the listener:
 * once, until it has owned less than over percent in between, as far as calls
 * have seen; or again, if `again`.  Disks with a quota of 0 are not reported.
 */
void registry_check_quotas (struct registry *r, unsigned low, unsigned over,
                            bool again);

/* Call fn for each disk whose name follows the given one (NULL: for all), in
 * the order of strcmp(3), until it returns other than 0, and return that.  The
 * lock is held: fn must not call the registry.
 */
int registry_each (struct registry *r, const char *after,
                   int (*fn) (void *opaque, const struct named_disk *d),
                   void *opaque);

size_t registry_count (struct registry *r);
const struct registry_options *registry_options (const struct registry *r);

#endif /* MRAMDISK_REGISTRY_H */
