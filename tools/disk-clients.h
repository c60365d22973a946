/* SPDX-License-Identifier: BSD-3-Clause */
/* Clients of disks, for the commands that show them. */

#ifndef MBLOCKCTL_DISK_CLIENTS_H
#define MBLOCKCTL_DISK_CLIENTS_H

#include <jansson.h>

/* Print an array of clients, as client_list returns it, as a table. */
void clients_print (const json_t *clients);

/* A client's address, safe to show; the caller frees it. */
char *client_address (const json_t *client);

#endif /* MBLOCKCTL_DISK_CLIENTS_H */
