/* SPDX-License-Identifier: BSD-3-Clause */
/* Who is at the other end of an NBD connection. */

#include <config.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include <linux/vm_sockets.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "base/printable.h"
#include "nbd-peer.h"
#include "plugins/common/newer-nbdkit.h"

/* Does the system label Unix sockets?  If not, nbdkit would log an error for
 * each client.
 */
static bool sockets_are_labelled;

/* Others choose the text, perhaps the client. */
static void
keep (char identity[REGISTRY_IDENTITY], char *text)
{
  printable_text (text ? text : "", identity, REGISTRY_IDENTITY);
  free (text);
}

/* nbdkit has verified the certificate, or does not tell (--tls-verify-peer). */
static void
look_certificate (struct registry_peer *peer)
{
  if (nbdkit_peer_tls_dn && nbdkit_peer_tls_issuer_dn) {
    keep (peer->tls_dn, nbdkit_peer_tls_dn ());
    keep (peer->tls_issuer_dn, nbdkit_peer_tls_issuer_dn ());
  }
}

static void
look_unix (struct registry_peer *peer)
{
  strcpy (peer->address, "unix");
  peer->pid = nbdkit_peer_pid ();
  peer->uid = nbdkit_peer_uid ();
  peer->gid = nbdkit_peer_gid ();
  if (sockets_are_labelled && nbdkit_peer_security_context)
    keep (peer->security_context, nbdkit_peer_security_context ());
}

static void
look_inet (struct registry_peer *peer, const struct sockaddr_in *in)
{
  char text[INET_ADDRSTRLEN];

  inet_ntop (AF_INET, &in->sin_addr, text, sizeof text);
  snprintf (peer->address, sizeof peer->address, "%s:%u", text,
            ntohs (in->sin_port));
}

static void
look_inet6 (struct registry_peer *peer, const struct sockaddr_in6 *in)
{
  char text[INET6_ADDRSTRLEN];

  inet_ntop (AF_INET6, &in->sin6_addr, text, sizeof text);
  snprintf (peer->address, sizeof peer->address, "[%s]:%u", text,
            ntohs (in->sin6_port));
}

static void
look_vsock (struct registry_peer *peer, const struct sockaddr_vm *vm)
{
  snprintf (peer->address, sizeof peer->address, "vsock:%u:%u", vm->svm_cid,
            vm->svm_port);
}

/* nbdkit -s: what it talks through need not be a socket, and nbdkit would log
 * that it is none.  It only tells before it serves.
 */
static bool listens_on_stdin;

static bool
are_labelled (void)
{
  char label[4096];
  socklen_t len = sizeof label;
  int fd[2], r;

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) == -1)
    return false;
  r = getsockopt (fd[0], SOL_SOCKET, SO_PEERSEC, label, &len);
  close (fd[0]);
  close (fd[1]);
  return r == 0;
}

void
peer_prepare (void)
{
  listens_on_stdin = !nbdkit_stdio_safe ();
  sockets_are_labelled = are_labelled ();
}

void
peer_look (struct registry_peer *peer)
{
  union {
    struct sockaddr sa;
    struct sockaddr_storage storage;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_vm vm;
  } address;
  socklen_t len = sizeof address;

  *peer = PEER_NONE ("");
  if (listens_on_stdin) {
    strcpy (peer->address, "stdio");
    return;
  }
  look_certificate (peer);
  if (nbdkit_peer_name (&address.sa, &len) == -1)
    return;
  switch (address.sa.sa_family) {
  case AF_UNIX:
    look_unix (peer);
    break;
  case AF_INET:
    look_inet (peer, &address.in);
    break;
  case AF_INET6:
    look_inet6 (peer, &address.in6);
    break;
  case AF_VSOCK:
    look_vsock (peer, &address.vm);
    break;
  }
}
