/* optimizer.h - updates the own slices of the flat state; its state exists once, with the owner. */
#ifndef JMT_OPTIMIZER_H
#define JMT_OPTIMIZER_H

#include "configs/config.h"
#include "kernels/kernels.h"
#include "trainer/flat_state.h"

typedef struct optimizer optimizer_t;

status_t optimizer_open(const config_t *config, const kernels_t *kernels, const device_t *device,
                        const graph_t *graph, const flat_state_t *flat, comm_t *comm,
                        reduce_t *reduce, optimizer_t **optimizer_out) MUST_CHECK;
void optimizer_close(optimizer_t *optimizer);

/* The numbers of the next update, of which judge and optimizer_update read a copy on the device. */
void optimizer_begin(const optimizer_t *optimizer, double learning_rate, step_now_t *now);
/* After reduce_finish, before reduce_share. Collective: all ranks' sums of squares, on the
 * device. */
status_t optimizer_sum_squares(optimizer_t *optimizer) MUST_CHECK;
/* step: losses, words and now; the norm is of all learned parameters, by the canonical tree over
 * chunks. */
void optimizer_judge(optimizer_t *optimizer, const judge_call_t *step);
/* now: on the device. */
void optimizer_update(optimizer_t *optimizer, const step_now_t *now);
void optimizer_applied(optimizer_t *optimizer); /* that update has changed something */

/* State tensors: "exp_avg", "exp_avg_sq" (adam, adamw), "momentum_buffer" (sgd with momentum). */
int optimizer_state_count(const optimizer_t *optimizer);
const char *optimizer_state_name(const optimizer_t *optimizer, int state);
/* Element of the own state for chunk c as the host sees it (NULL if another rank owns it). Where
 * the device is not the host: to be read after optimizer_read, and given by optimizer_write. */
float *optimizer_state_chunk(optimizer_t *optimizer, int state, int64_t chunk);
void optimizer_read(optimizer_t *optimizer); /* waits */
void optimizer_write(optimizer_t *optimizer);

/* Updates so far: the t of Adam's bias correction. */
int64_t optimizer_updates(const optimizer_t *optimizer);
void optimizer_set_updates(optimizer_t *optimizer, int64_t updates);

size_t optimizer_bytes(const optimizer_t *optimizer);

#endif
