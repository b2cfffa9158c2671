/*
 * The part of libuv that the addon uses. Node.js exports these functions, but its headers would have to be fetched for
 * each version; all of this is the stable interface of libuv 1, and the handle's size is asked for at run time.
 */
#ifndef SAMSA_EVENT_LOOP_H
#define SAMSA_EVENT_LOOP_H

#include <stddef.h>

typedef struct uv_loop_s uv_loop_t;
typedef struct uv_handle_s uv_handle_t;
typedef void (*uv_poll_cb)(uv_handle_t *poll, int status, int events);
typedef void (*uv_close_cb)(uv_handle_t *handle);

#define UV_POLL 8
#define UV_READABLE 1

extern size_t uv_handle_size(int type);
extern int uv_poll_init(uv_loop_t *loop, uv_handle_t *poll, int fd);
extern int uv_poll_start(uv_handle_t *poll, int events, uv_poll_cb callback);
extern int uv_poll_stop(uv_handle_t *poll);
extern void uv_close(uv_handle_t *handle, uv_close_cb callback);
extern void uv_ref(uv_handle_t *handle);
extern void uv_unref(uv_handle_t *handle);
extern void *uv_handle_get_data(const uv_handle_t *handle);
extern void uv_handle_set_data(uv_handle_t *handle, void *data);

#endif
