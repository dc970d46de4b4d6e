/* sim_fiber.h - stacks to switch between, for sim_block.c. A fiber that was left is used again. */
#ifndef JMT_SIM_FIBER_H
#define JMT_SIM_FIBER_H

typedef struct sim_fiber sim_fiber_t;

sim_fiber_t *sim_fiber_self(void);
sim_fiber_t *sim_fiber_fresh(void (*entry)(void)); /* its entry never returns */
void sim_fiber_go(sim_fiber_t *to);                /* comes back when somebody goes here */
void sim_fiber_leave(sim_fiber_t *to);             /* as go; the running one is fresh from here on.
                                                    * NULL: to where the first one was started */

#endif
