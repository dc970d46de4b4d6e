/* mca.h - what people ask of Open MPI, by their environment or its files of parameters, so that
 * `jmt launch` does not overrule it. */
#ifndef JMT_MCA_H
#define JMT_MCA_H

#include <stdbool.h>

/* Whether somebody has a say in `name`: by OMPI_MCA_name, whatever it says; or in
 * $HOME/.openmpi/mca-params.conf or the system's file (or those of OMPI_MCA_mca_base_param_files),
 * whichever speaks of it first, unless that is a list of what not to use (^a,b) which `ours` keeps
 * to. */
bool mca_is_asked(const char *name, const char *ours);

#endif
