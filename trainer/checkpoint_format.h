/* checkpoint_format.h - names inside a checkpoint directory, for its writer and its reader. */
#ifndef JMT_CHECKPOINT_FORMAT_H
#define JMT_CHECKPOINT_FORMAT_H

enum { CHECKPOINT_FORMAT = 1 };
#define STEP_FORMAT     "step-%08lld"
#define PART_FORMAT     "part-%05d.safetensors"
#define STATISTICS_FILE "statistics.safetensors"
#define MANIFEST_FILE   "manifest.json"
#define DIGEST_FILE     "manifest.sha256"

#endif
