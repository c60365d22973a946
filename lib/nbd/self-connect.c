/* SPDX-License-Identifier: BSD-3-Clause */
/* Does a connection lead back to this process? */

#include <config.h>

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <linux/vm_sockets.h>

#include "nbd/self-connect.h"

union address {
  struct sockaddr any;
  struct sockaddr_un un;
  struct sockaddr_in in;
  struct sockaddr_in6 in6;
  struct sockaddr_vm vm;
  struct sockaddr_storage storage;
};

/* Where the connection comes from and where it leads to. */
struct endpoints {
  union address local, peer;
  socklen_t local_len, peer_len;
};

/* IPv4 as IPv6 has it.  Returns the port. */
static in_port_t
internet (const union address *a, struct in6_addr *ip)
{
  if (a->any.sa_family == AF_INET6) {
    *ip = a->in6.sin6_addr;
    return a->in6.sin6_port;
  }
  memset (ip, 0, sizeof *ip);
  ip->s6_addr[10] = ip->s6_addr[11] = 0xff;
  memcpy (&ip->s6_addr[12], &a->in.sin_addr, sizeof a->in.sin_addr);
  return a->in.sin_port;
}

static bool
is_internet (const union address *a)
{
  return a->any.sa_family == AF_INET || a->any.sa_family == AF_INET6;
}

static bool
is_wildcard (const struct in6_addr *ip)
{
  static const struct in6_addr any4 = {
    .s6_addr = { [10] = 0xff, [11] = 0xff },
  };

  return IN6_IS_ADDR_UNSPECIFIED (ip) || memcmp (ip, &any4, sizeof any4) == 0;
}

/* Who connects to an address of its own machine comes from that address; but
 * for 127.0.0.0/8 from the first of them.
 */
static bool
leads_to_internet (const struct endpoints *c, const union address *listening)
{
  struct in6_addr own, peer, local;

  if (internet (listening, &own) != internet (&c->peer, &peer))
    return false;
  if (memcmp (&own, &peer, sizeof own) == 0)
    return true;
  internet (&c->local, &local);
  return is_wildcard (&own) &&
    (memcmp (&local, &peer, sizeof local) == 0 ||
     (IN6_IS_ADDR_V4MAPPED (&peer) && peer.s6_addr[12] == IN_LOOPBACKNET));
}

static bool
leads_to (const struct endpoints *c, const union address *listening,
          socklen_t len)
{
  if (is_internet (&c->peer) && is_internet (listening))
    return leads_to_internet (c, listening);
  if (c->peer.any.sa_family != listening->any.sa_family)
    return false;
  if (c->peer.any.sa_family == AF_UNIX)
    /* A socket without a name has none to compare. */
    return len > sizeof (sa_family_t) && len == c->peer_len &&
      memcmp (&c->peer, listening, len) == 0;
  if (c->peer.any.sa_family == AF_VSOCK)
    return c->peer.vm.svm_port == listening->vm.svm_port &&
      (c->peer.vm.svm_cid == VMADDR_CID_LOCAL ||
       c->peer.vm.svm_cid == c->local.vm.svm_cid);
  return false;
}

static bool
is_listening (int fd)
{
  int listening = 0;
  socklen_t len = sizeof listening;

  return getsockopt (fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) == 0 &&
    listening;
}

enum self_connect
self_connect_check (int fd)
{
  struct endpoints c = {
    .local_len = sizeof c.local, .peer_len = sizeof c.peer,
  };
  enum self_connect r = SELF_CONNECT_NO;
  struct dirent *entry;
  DIR *dir;

  if (getpeername (fd, &c.peer.any, &c.peer_len) == -1 ||
      getsockname (fd, &c.local.any, &c.local_len) == -1)
    return SELF_CONNECT_UNKNOWN;
  dir = opendir ("/proc/self/fd");
  if (dir == NULL)
    return SELF_CONNECT_NO;
  while (r == SELF_CONNECT_NO && (entry = readdir (dir)) != NULL) {
    int other = atoi (entry->d_name);
    union address own = { .storage = { 0 } };
    socklen_t len = sizeof own;

    if (*entry->d_name != '.' && is_listening (other) &&
        getsockname (other, &own.any, &len) == 0 && leads_to (&c, &own, len))
      r = SELF_CONNECT_YES;
  }
  closedir (dir);
  return r;
}
