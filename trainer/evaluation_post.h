/* evaluation_post.h - the predictions of an evaluation after post-processing (post_process.h), and
 * their scores. */
#ifndef JMT_EVALUATION_POST_H
#define JMT_EVALUATION_POST_H

#include "trainer/evaluate.h"
#include "trainer/post_process.h"

/* How predictions of a target are changed, with this width. */
post_process_t target_post_process(const config_t *config, int target, int64_t width);

/* Whether some target asks for it. */
bool config_is_post_processed(const config_t *config);

/* Fills post and widths of the targets that ask for it, and their scores that end in _post. */
void evaluation_post_process(evaluation_t *evaluation, const config_t *config,
                             const target_fit_t *fit);

/* Anew with other widths: targets with smooth: fit take that one of smooth_widths with the largest
 * ccc of these predictions; of equals the smallest. */
void evaluation_fit_widths(evaluation_t *evaluation, const config_t *config, target_fit_t *fit);

/* `all` in the order of by_name: of each step `columns` elements of so many bytes. */
void gather_by_name(const evaluation_t *evaluation, int64_t columns, size_t bytes, const void *all,
                    void *out);

#endif
