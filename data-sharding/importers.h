/* importers.h - the rows of the table in import.c. */
#ifndef JMT_IMPORTERS_H
#define JMT_IMPORTERS_H

#include "data-sharding/import.h"

extern const importer_t importer_synthetic, importer_mosi, importer_stress_predict,
    importer_ceap360, importer_cogload, importer_features, importer_media, importer_affwild2,
    importer_biovid, importer_mmmo;

#endif
