#include "trainer/schedule.h"

#include <math.h>
#include <string.h>

double schedule_learning_rate(const config_t *config, int64_t step, int64_t epoch) {
    double rate = config->optimizer.learning_rate;
    if (strcmp(config->schedule.name, "step") == 0) {
        rate *= pow(config->schedule.gamma, (double)(epoch / config->schedule.step_epochs));
    } else if (strcmp(config->schedule.name, "cosine") == 0) {
        double done = fmin((double)epoch / (double)config->epochs, 1.0); /* --steps may go beyond */
        rate *= 0.5 * (1.0 + cos(3.141592653589793 * done));
    }
    if (rate < config->schedule.min_learning_rate) {
        rate = config->schedule.min_learning_rate;
    }
    if (step < config->schedule.warmup_steps) {
        rate *= (double)(step + 1) / (double)config->schedule.warmup_steps;
    }
    return rate;
}
