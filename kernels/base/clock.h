/* clock.h - monotonic wall time and the process's own CPU time. */
#ifndef JMT_BASE_CLOCK_H
#define JMT_BASE_CLOCK_H

#include <stdint.h>

double clock_s(void);     /* monotonic */
int64_t clock_ns(void);   /* the same clock */
double clock_cpu_s(void); /* user + system of this process, all threads */
void clock_sleep_us(int microseconds);

#endif
