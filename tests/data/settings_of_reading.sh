#!/bin/bash
# settings_of_reading.sh - how samples are read is what the configuration says: another clock or other scales
# give another training, on any number of ranks the same one.
. "$(dirname "$0")/../system.sh"
hash_with() { # hash_with NAME RANKS ARGUMENTS...
    local name=$1 ranks=$2
    shift 2
    run "$ranks" train "${tiny[@]}" --run "$work/$name" --steps 3 "$@" && hash_of "$work/$name"
}
plain=$(hash_with plain 1)
check "data.rate_hz of the data changes nothing" same "$(hash_with own 1 --set data.rate_hz=5)" "$plain"
slow=$(hash_with slow 1 --set data.rate_hz=2.5)
check "another data.rate_hz trains something else" [ "$slow" != "$plain" ]
check "the same on 2 ranks" same "$(hash_with slow2 2 --set data.rate_hz=2.5)" "$slow"
none=$(hash_with none 1 --set data.standardize=none)
person=$(hash_with person 1 --set data.standardize=person)
check "data.standardize: person is neither train" [ "$person" != "$plain" ]
check "nor none" [ "$person" != "$none" ]
check "the same on 2 ranks" same "$(hash_with person2 2 --set data.standardize=person)" "$person"
finish
