/* Every way a config can be wrong: the place, the cause, the remedy. */
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "configs/config.h"
#include "configs/config_fields.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "unit/wrong_config.h"

static void keys(void **state) {
    (void)state;
    const wrong_t cases[] = {
        {"learning_rate: 1\n",
         ":1:1: unknown key 'learning_rate'; did you mean optimizer.learning_rate?"},
        {"seed: 1\nmodel:\n  hedas: 2\n",
         ":3:3: unknown key 'model.hedas'; did you mean model.heads?"},
        {"optimiser: {name: sgd}\n", ":1:1: unknown key 'optimiser'; did you mean optimizer?"},
        {"optimizer.momentun: 1\n",
         ":1:1: unknown key 'optimizer.momentun'; did you mean optimizer.momentum?"},
        {"name: x\n",
         ":1:1: unknown key 'name'; did you mean model.name, optimizer.name or schedule.name?"},
        {"dim: 3\n", ":1:1: unknown key 'dim'; did you mean model.dim or modalities.NAME.dim?"},
        {"batch_size: 3\n",
         ":1:1: unknown key 'batch_size'; did you mean batch or modalities.NAME.size?"},
        {"lr: 3\n", ":1:1: unknown key 'lr'; did you mean optimizer.learning_rate?"},
        {"modalites:\n  a: {}\n", ":1:1: unknown key 'modalites'; did you mean modalities?"},
        {"modalities: {a: {dmi: 3}}\n",
         ":1:18: unknown key 'modalities.a.dmi'; did you mean modalities.a.dim?"},
        {"targets: {a: {los: ccc}}\n",
         ":1:15: unknown key 'targets.a.los'; did you mean targets.a.loss?"},
        {"zzzzzzzz: 1\n", ":1:1: unknown key 'zzzzzzzz'; 'jmt config' lists every key"},
        {"\"\": 1\n", ":1:1: unknown key ''; 'jmt config' lists every key"},
        {"seed.x: 1\n", ":1:1: unknown key 'seed.x'; did you mean seed?"},
        {"<<: {a: 1}\n", ":1:1: merge keys (<<) are not supported; share settings by base:"},
        {"seed: 1\nseed: 2\n", ":2:1: duplicate key 'seed', first given at line 1; remove one"},
        {"model: {dim: 4}\nmodel.dim: 5\n",
         ":2:1: duplicate key 'model.dim', first given at line 1; remove one"},
        {"model: {dim: 4}\nmodel: {ff: 5}\n",
         ":2:1: duplicate key 'model', first given at line 1; remove one"},
        {"modalities: {a: {}, a: {}}\n",
         ":1:21: duplicate key 'modalities.a', first given at line 1; remove one"},
        {"modalities:\n  1a: {}\n",
         ":2:3: '1a' cannot name one of the modalities; use letters, digits, _ and -, a letter "
         "first, at most 63"},
        {"targets.a b.loss: ccc\n",
         ":1:1: 'a b' cannot name one of the targets; use letters, digits, _ and -, a letter "
         "first, at most 63"},
        {"? [a]\n: b\n", ":1:3: a key that is a list or a mapping; keys are plain names"},
    };
    CHECK_ALL(cases, STATUS_INPUT);
}

static void values(void **state) {
    (void)state;
    const wrong_t cases[] = {
        {"seed: 1e3\n",
         ":1:7: seed: '1e3' is not an integer; write plain decimal digits such as 0"},
        {"batch: 3_2\n",
         ":1:8: batch: '3_2' is not an integer; write plain decimal digits such as 32"},
        {"batch: 032\n",
         ":1:8: batch: '032' is not an integer; write plain decimal digits such as 32"},
        {"batch: 0x20\n",
         ":1:8: batch: '0x20' is not an integer; write plain decimal digits such as 32"},
        {"batch: 32.0\n",
         ":1:8: batch: '32.0' is not an integer; write plain decimal digits such as 32"},
        {"batch: \"32\"\n",
         ":1:8: batch: the quoted text '32' is not a number; write it without quotes"},
        {"batch: 0\n", ":1:8: batch: 0 is out of bounds; use 1 to 65536"},
        {"batch: 99999999999999999999\n",
         ":1:8: batch: 99999999999999999999 is out of bounds; use 1 to 65536"},
        {"comm:\n  timeout_s: 0.01\n",
         ":2:14: comm.timeout_s: 0.01 is out of bounds; use 0.1 to 1000000"},
        {"comm: {timeout_s: 1e999}\n",
         ":1:19: comm.timeout_s: 1e999 is out of bounds; use 0.1 to 1000000"},
        {"comm: {timeout_s: .inf}\n",
         ":1:19: comm.timeout_s: '.inf' is not a number; write one such as 0.5 or 1e-3"},
        {"comm: {timeout_s: nan}\n",
         ":1:19: comm.timeout_s: 'nan' is not a number; write one such as 0.5 or 1e-3"},
        {"comm: {timeout_s: 5m}\n",
         ":1:19: comm.timeout_s: '5m' is not a number; write one such as 0.5 or 1e-3"},
        {"optimizer:\n  nesterov: yes\n",
         ":2:13: optimizer.nesterov: 'yes' is not a boolean; write true or false"},
        {"optimizer: {nesterov: \"true\"}\n",
         ":1:23: optimizer.nesterov: the quoted text 'true' is not a boolean; write it without "
         "quotes"},
        {"device: gpu\n", ":1:9: device: 'gpu' is not a choice; use one of: auto, cpu, cuda"},
        {"reduce: cannonical\n",
         ":1:9: reduce: 'cannonical' is not a choice; did you mean canonical? (choices: canonical, "
         "fast)"},
        {"seed:\nbatch: 8\n", ":1:6: seed has no value; write one, or leave the key out"},
        {"seed: ~\n", ":1:7: seed cannot be null; leave the key out to keep its default"},
        {"seed: [1]\n", ":1:7: seed takes one value, not a list; write it like 'seed: 0'"},
        {"data: {path: {a: b}}\n",
         ":1:14: data.path takes one value, not a mapping; write it like 'data.path: \"\"'"},
        {"model: jmt\n",
         ":1:8: model takes a mapping of settings; write its keys below it, indented"},
        {"modalities: [a, b]\n",
         ":1:13: modalities takes a mapping of settings; write its keys below it, indented"},
        {"modalities: {a: }\n",
         ":1:17: modalities.a takes a mapping; write {dim: 0}, {} for defaults, or null to remove "
         "it"},
        {"model.modalities: [a, [b]]\n",
         ":1:23: model.modalities takes a list of names; write it like [text, audio]"},
        {"model.modalities: [\"a b\"]\n",
         ":1:20: model.modalities takes a list of names; write it like [text, audio]"},
    };
    CHECK_ALL(cases, STATUS_INPUT);
}

static void documents(void **state) {
    (void)state;
    const wrong_t cases[] = {
        {"", ":1:1: the file has no settings; write one, such as 'seed: 1', or {}"},
        {"# only\n", ":1:1: the file has no settings; write one, such as 'seed: 1', or {}"},
        {"- a\n", ":1:1: a config is a mapping; write settings as 'key: value' lines"},
        {"hello\n", ":1:1: a config is a mapping; write settings as 'key: value' lines"},
        {"seed: 1\n---\nseed: 2\n", ":2:1: a second document; a config is one: remove the '---'"},
        {"model:\n\tdim: 3\n", ":2:1: a tab where YAML allows none; indent with spaces"},
        {"model:\n  dim: 3\n\tff: 4\n", ":3:1: a tab where YAML allows none; indent with spaces"},
        {"seed: &a 1\nepochs: *a\n",
         ":1:7: anchors and aliases ('a') are not supported; write the value out, quote a text "
         "that begins with & or *, or share it by base:"},
        {"seed: *a\n",
         ":1:7: anchors and aliases ('a') are not supported; write the value out, quote a text "
         "that begins with & or *, or share it by base:"},
        {"seed: !!int 1\n",
         ":1:7: tags ('tag:yaml.org,2002:int') are not supported; write the value without it"},
        {"model: {a: [1,\n b: }\n",
         ":2:5: did not find expected node content while parsing a flow node (which began at line "
         "2); correct the YAML"},
        {"seed: \"abc\n",
         ":2:1: found unexpected end of stream while scanning a quoted scalar (which began at line "
         "1); correct the YAML"},
        {"seed: 1\ndata: {path: \xff}\n",
         ":2:14: invalid leading UTF-8 octet; a config is printable UTF-8 text"},
        {"data: {path: \"a\\0b\"}\n", ":1:14: a NUL character inside a text; remove it"},
        {"model: [[[[[[[[[[1]]]]]]]]]]\n", ":1:15: nested more than 8 deep; no setting needs that"},
    };
    CHECK_ALL(cases, STATUS_INPUT);
}

static void mistakes_of_published_code(void **state) {
    (void)state;
    const wrong_t cases[] = {
        {DATA "parity.unlabelled_as_right: true\n",
         ":3:29: parity.unlabelled_as_right counts all steps, also of windows without a label; set "
         "evaluation.every_window: true"},
        {DATA "parity.unlabelled_as_right: true\nevaluation.every_window: true\n"
              "targets.x.steps: last\n",
         ":5:18: parity.unlabelled_as_right would count what targets.x.steps last leaves out; "
         "leave one of them out"},
        {"modalities: {a: {}, b: {}}\ntargets: {y: {loss: cross_entropy, classes: 3}}\n"
         "parity.unlabelled_as_right: true\nevaluation.every_window: true\n",
         ":3:29: parity.unlabelled_as_right is for targets with loss ccc or mse, and there is "
         "none; remove it"},
        {DATA "model.name: concat\nparity.attention_over_samples: true\n",
         ":4:32: parity.attention_over_samples is about the encoders of jmt, jmt_no_joint and mt; "
         "remove it"},
        {DATA "model.causal: true\nparity.attention_over_samples: true\n",
         ":4:32: parity.attention_over_samples has no order that model.causal could keep; leave "
         "one of them out"},
    };
    CHECK_ALL(cases, STATUS_INPUT);
}

static void settings_of_targets(void **state) {
    (void)state;
    const wrong_t cases[] = {
        {DATA "targets.x.label_smoothing: 0.1\n",
         ":3:28: targets.x.label_smoothing is for cross_entropy only, and the loss is ccc; remove "
         "it or set loss: cross_entropy"},
        {DATA "targets.y.mse_weight: 1\n",
         ":3:23: targets.y.mse_weight is for ccc only, and the loss is cross_entropy; remove it or "
         "set loss: ccc"},
        {DATA "targets.x.class_weights: balanced\n",
         ":3:26: targets.x.class_weights is for cross_entropy and binary_cross_entropy only, and "
         "the loss is ccc; remove it or set loss: binary_cross_entropy"},
        {DATA "targets.y.class_weights: [1, 2]\n",
         ":3:26: targets.y.class_weights has 2 numbers and takes 3, one per class; write 3"},
        {DATA "targets.x.loss: binary_cross_entropy\ntargets.x.class_weights: [1, 2]\n",
         ":4:26: targets.x.class_weights has 2 numbers and takes 1, the weight of the label 1; "
         "write 1"},
        {DATA "targets.y.class_weights: [1, two, 3]\n",
         ":3:26: targets.y.class_weights: 'two' is neither a number nor a choice; write numbers or "
         "one of: none balanced"},
        {DATA "targets.y.class_weights: [1, 0, 3]\n",
         ":3:26: targets.y.class_weights: 0 is out of bounds; use 1e-06 to 1000000"},
        {DATA "targets.y.class_weights: []\n", ":3:26: targets.y.class_weights: '' is neither a "
                                               "number nor a choice; write numbers or one "
                                               "of: none balanced"},
        {DATA "targets.y.class_weights: [[1], 2, 3]\n",
         ":3:27: targets.y.class_weights takes a list of numbers; write it like [1, 2.5]"},
        {DATA "targets.x.threshold: fit\n",
         ":3:22: targets.x.threshold is for cross_entropy and binary_cross_entropy only, and the "
         "loss is ccc; remove it or set loss: binary_cross_entropy"},
        {DATA "targets.y.threshold: fit\n",
         ":3:22: targets.y.threshold is for two classes, and there are 3; remove it"},
        {DATA "targets.x.loss: binary_cross_entropy\ntargets.x.threshold: [0.1, 0.2]\n",
         ":4:22: targets.x.threshold has 2 numbers and takes one; write one, or fit"},
        {DATA "targets.x.loss: binary_cross_entropy\ntargets.x.threshold: 1\n",
         ":4:22: targets.x.threshold: 1 is out of bounds; use 1e-06 to 0.999999"},
        {DATA "targets.x.loss: binary_cross_entropy\ntargets.x.threshold: fitted\n",
         ":4:22: targets.x.threshold: 'fitted' is neither a number nor a choice; write numbers or "
         "one of: fit"},
        {"split.valid_fraction: 0\nmodalities: {a: {}}\n"
         "targets: {x: {loss: binary_cross_entropy, threshold: fit}}\n",
         ":3:54: targets.x.threshold fit needs a validation split; set split.valid_fraction above "
         "0, or the threshold to a number"},
        {DATA "targets.y.smooth: 3\n",
         ":3:19: targets.y.smooth is for mse and ccc only, and the loss is cross_entropy; remove "
         "it or set loss: ccc"},
        {DATA "targets.y.clip: true\n",
         ":3:17: targets.y.clip is for mse and ccc only, and the loss is cross_entropy; remove "
         "it or set loss: ccc"},
        {DATA "targets.x.smooth: 2.5\n",
         ":3:19: targets.x.smooth takes one whole number of steps, and there is 2.5; write one, or "
         "fit"},
        {DATA "targets.x.smooth: [3, 4]\n",
         ":3:19: targets.x.smooth takes one whole number of steps, and there is 3 4; write one, or "
         "fit"},
        {"split.valid_fraction: 0\nmodalities: {a: {}}\ntargets: {x: {smooth: fit}}\n",
         ":3:23: targets.x.smooth fit needs a validation split; set split.valid_fraction above 0, "
         "or smooth to a number of steps"},
        {DATA "select_on: x.ccc_post\n",
         ":3:12: select_on 'x.ccc_post' is of post-processed predictions, and no such target has "
         "any; set its smooth or clip, or take another metric"},
        {DATA "checkpoint.best: [x.ccc, y.ccc]\n",
         ":3:18: checkpoint.best 'y.ccc': no such target is scored by ccc; accuracy, uar, f1_macro "
         "and f1_weighted go with the cross-entropies, f1_positive with the binary one, mae, rmse, "
         "r and ccc with the other losses"},
        {DATA "targets.y.label_smoothing: 1\n",
         ":3:28: targets.y.label_smoothing: 1 is out of bounds; use 0 to 0.999"},
    };
    CHECK_ALL(cases, STATUS_INPUT);
}

static void rules_across_keys(void **state) {
    (void)state;
    const wrong_t cases[] = {
        {"batch: 30\n", ":1:8: batch 30 is no multiple of virtual_shards 8; use batch 24 or 32"},
        {"batch: 3\n", ":1:8: batch 3 is no multiple of virtual_shards 8; use batch 8"},
        {"virtual_shards: 1000\nbatch: 65536\n",
         ":2:8: batch 65536 is no multiple of virtual_shards 1000; use batch 65000"},
        {"model: {dim: 10, heads: 3}\n",
         ":1:25: model.heads 3 does not divide model.dim 10; choose a divisor"},
        {DATA "model: {name: mt, modalities: a}\n",
         ":3:31: model mt needs at least 2 modalities and has 1; use model.name: jmt or unimodal, "
         "or add a modality"},
        {DATA "model.name: unimodal\n",
         ":3:13: model unimodal takes exactly 1 modality and has 2; name one, such as "
         "model.modalities: [a]"},
        {DATA "model.modalities: [a, c]\n",
         ":3:19: model.modalities names 'c', which modalities does not have; add modalities.c or "
         "correct the name"},
        {DATA "model.modalities: a a\n", ":3:19: model.modalities names 'a' twice; remove one"},
        {DATA "modalities.a.front: none\n",
         ":3:21: modalities.a.front none needs dim 4 to equal model.dim 512; use front: auto"},
        {"modalities:\n  a: {}\n",
         ":2:3: modalities.a, but no targets; add one, such as targets: {valence: {loss: ccc}}"},
        {"targets:\n  x: {}\n",
         ":2:3: targets.x, but no modalities; add one, such as modalities: {video: {}}"},
        {DATA "targets.x.classes: 2\n", ":3:20: targets.x.classes is for cross_entropy only, and "
                                        "the loss is ccc; remove it or set "
                                        "loss: cross_entropy"},
        {DATA "targets.x.loss: cross_entropy\n", ":3:17: targets.x.loss cross_entropy needs the "
                                                 "number of classes; set targets.x.classes to "
                                                 "2 or more"},
        {"select_on: acc\n",
         ":1:12: select_on 'acc' is not a metric; use auto, loss, or one of accuracy uar f1_macro "
         "f1_weighted f1_positive mae rmse r ccc rmse_post ccc_post, as METRIC or TARGET.METRIC"},
        {DATA "select_on: z.ccc\n",
         ":3:12: select_on 'z.ccc' names a target that targets does not have; correct the name"},
        {DATA "select_on: y.ccc\n",
         ":3:12: select_on 'y.ccc': no such target is scored by ccc; accuracy, uar, f1_macro "
         "and f1_weighted go with the cross-entropies, f1_positive with the binary one, mae, rmse, "
         "r and "
         "ccc with the other losses"},
        {"data: {window: 4, stride: 5}\n",
         ":1:27: data.stride 5 above data.window 4 would skip steps; use at most 4"},
        {"split: {valid_fraction: 0.5, test_fraction: 0.5}\n",
         ":1:45: split.valid_fraction and split.test_fraction add up to 1, so nothing is left to "
         "train on; keep the sum below 1"},
        {"split.valid_fraction: 0\nearly_stopping.patience: 1\n",
         ":2:26: early_stopping.patience needs a validation split; set split.valid_fraction above "
         "0, or the patience to 0"},
        {"optimizer: {beta1: 0.5}\n",
         ":1:20: optimizer.beta1 has no effect with optimizer.name sgd; remove it, or leave its "
         "default 0.9"},
        {"optimizer: {name: adam, nesterov: false}\n",
         ":1:35: optimizer.nesterov has no effect with optimizer.name adam; remove it, or leave "
         "its "
         "default true"},
        {"optimizer: {momentum: 0}\n",
         ":1:23: optimizer.nesterov needs momentum above 0; set optimizer.nesterov: false"},
        {"schedule: {gamma: 0.5}\n",
         ":1:19: schedule.gamma has no effect with schedule.name constant; remove it, or leave its "
         "default 0.1"},
        {"schedule: {name: cosine, min_learning_rate: 1}\n",
         ":1:45: schedule.min_learning_rate 1 is above optimizer.learning_rate 0.0001; lower it"},
    };
    CHECK_ALL(cases, STATUS_INPUT);
}

static void rules_of_data(void **state) {
    (void)state;
    const wrong_t cases[] = {
        {"data: {permute_within: person}\n",
         ":1:24: data.permute_within has no effect without data.permute_labels: true; set that, "
         "or remove it"},
        {"data: {shuffle_window: 5}\n",
         ":1:24: data.shuffle_window has no effect with shuffle global; remove it, or leave its "
         "default 1024"},
        {"split: {fold: 1}\n",
         ":1:15: split.fold 1 has no effect with split.folds 0; remove it, or set split.folds"},
        {"split: {folds: 5, fold: 5}\n", ":1:25: split.fold 5, but split.folds is 5; use 0 to 4"},
    };
    CHECK_ALL(cases, STATUS_INPUT);
}

/* What a file says may serve a family of models; what --set says is meant for this one. */
static void sizes_that_nobody_reads(void **state) {
    (void)state;
    const struct {
        const char *text, *set, *error; /* NULL: accepted */
    } cases[] = {
        {DATA "model: {name: concat, ff: 9, heads: 1, layers: 3}\n", "seed=1", NULL},
        {DATA "model: {name: concat}\n", "model.ff=9",
         "--set model.ff=9: model.ff has no effect with model.name concat; leave it out"},
        {DATA "model: {name: decision}\n", "model.heads=1",
         "--set model.heads=1: model.heads has no effect with model.name decision; leave it out"},
        {DATA "model: {name: concat_att}\n", "model.layers=2",
         "--set model.layers=2: model.layers has no effect with model.name concat_att; leave it "
         "out"},
        {DATA "model: {name: mt}\n", "model.fusion_dim=8",
         "--set model.fusion_dim=8: model.fusion_dim has no effect with model.name mt; leave it "
         "out"},
        {DATA "model: {name: jca}\n", "model.recursions=3",
         "--set model.recursions=3: model.recursions has no effect with model.name jca; leave it "
         "out"},
        {DATA "model: {name: lfan}\n", "model.fusion_dim=8", NULL},
        {DATA "model: {name: lfan, fusion_dim: 6}\n", "model.heads=4",
         "--set model.heads=4: model.heads 4 does not divide model.fusion_dim 6; choose a divisor"},
        {DATA "model: {name: concat_encoder}\n", "model.layers=2", NULL},
        {DATA "model: {name: mt}\n", "model.ff=9", NULL},
        {DATA "model: {name: majority, dim: 8}\n", "seed=1", NULL},
        {DATA "model: {name: majority}\n", "model.dim=8",
         "--set model.dim=8: model.dim has no effect with model.name majority; leave it out"},
        {DATA "model: {name: majority}\n", "model.head_hidden=8",
         "--set model.head_hidden=8: model.head_hidden has no effect with model.name majority; "
         "leave it out"},
        {DATA "model: {name: majority}\n", "model.head_dropout=0.5",
         "--set model.head_dropout=0.5: model.head_dropout has no effect with model.name "
         "majority; leave it out"},
        {DATA "model: {name: decision}\n", "model.head_dropout=0.5", NULL},
        {"modalities: {a: {}, b: {}, c: {of: [a, b]}}\ntargets: {x: {}}\n"
         "model: {name: concat, modalities: [c]}\n",
         "model.ff=9", NULL},
        {DATA "split: {folds: 4, test_fraction: 0.3}\n", "seed=1", NULL},
        {DATA "split: {folds: 4}\n", "split.test_fraction=0.3",
         "--set split.test_fraction=0.3: split.test_fraction has no effect with split.folds 4; "
         "leave one out"},
        {DATA, "split.test_fraction=0.3", NULL},
        {DATA, "loss.ccc_unbiased=true", NULL},
        {"modalities: {a: {}}\ntargets: {x: {loss: mse}}\n", "loss.ccc_unbiased=true",
         "--set loss.ccc_unbiased=true: loss.ccc_unbiased has no effect: no target has loss: ccc; "
         "remove it"},
    };
    for (int i = 0; i < ARRAY_LEN(cases); i++) {
        config_t *config = NULL;
        status_t status = config_parse(cases[i].text, "t.yaml", &cases[i].set, 1, &config);
        if (cases[i].error == NULL) {
            CHECK_OK(status);
        } else {
            assert_int_equal(status, STATUS_INPUT);
            assert_string_equal(status_text(), cases[i].error);
        }
        config_free(config);
    }
}

static void rules_of_people(void **state) {
    (void)state;
    const wrong_t cases[] = {
        {"split: {folds: 3, by: leaky_published}\n",
         ":1:23: split.by leaky_published tests people that were trained on, and no such number "
         "holds for anybody new; set split.allow_subject_overlap: true to stand beside one that "
         "was published so, or use split.by: subject"},
        {"split: {folds: 3, by: group}\n",
         ":1:23: split.by group tests people that were trained on; set "
         "split.allow_subject_overlap: true, or use split.by: both"},
        {"split.by: both\n",
         ":1:11: split.by both has no effect with split.folds 0; remove it, or set split.folds"},
        {"data.standardize: person\nbaseline_minutes: 3\n",
         ":2:19: baseline_minutes and data.standardize: person both scale each person; leave one "
         "out"},
    };
    CHECK_ALL(cases, STATUS_INPUT);
}

static void distances(void **state) {
    (void)state;
    assert_int_equal(text_distance("", ""), 0);
    assert_int_equal(text_distance("abc", ""), 3);
    assert_int_equal(text_distance("abc", "acb"), 1);
    assert_int_equal(text_distance("ca", "abc"), 3); /* optimal string alignment */
    assert_int_equal(text_distance("kitten", "sitting"), 3);
}

/* clang-format off */
static const char *const nasty[] = {
    "[", "{", "}", "]", "\"", "'", "|", ">", "&", "*", "!", "%", "@", "`", "?", ":", "-",
    "- -", "---", "...", "--- ---", "%YAML 9.9\n---\n", "%TAG ! x\n---\na: !b c", "a: b: c",
    "{a: b", "? ? ?", ": :", "a:\n - b\n c", "|\n x", "a: |9\n x", "a: >\n\n\n",
    "\xef\xbb\xbf", "\xff\xfes\0e\0", "\xc3", "\xed\xa0\x80", "\xf4\x90\x80\x80",
    "\x01\x02\x03", "a: \x7f", "\"\\ud800\"", "\"\\xZZ\"", "seed: 1\r\nbatch: 8\r\n",
    "model..dim: 1", ".", "..", "a.b.c.d", "modalities.: {}", "modalities..dim: 1",
    "targets.a.loss.x: 1", "base:", "base: ''", "base: {}", "seed: %s%n%d", "%s%n: 1",
    "? |\n  a\n: b", "&a [*a]", "a: &b {c: *b}",
};
/* clang-format on */

/* Whatever the bytes: an answer, one line, no crash (AddressSanitizer looks on in its build). */
static void nothing_crashes(void **state) {
    (void)state;
    enum { LONG = 200000 };
    char *huge = alloc_zero(LONG + 1, 1);
    for (int i = 0; i < ARRAY_LEN(nasty) + 6; i++) {
        const char *fills[] = {"[", "{a: ", "- ", "x", "seed: 9", "\"y"};
        const char *text = huge;
        if (i < ARRAY_LEN(nasty)) {
            text = nasty[i];
        } else {
            const char *fill = fills[i - ARRAY_LEN(nasty)];
            for (int at = 0; at < LONG; at++) {
                huge[at] = fill[at % (int)strlen(fill)];
            }
        }
        config_t *config = NULL;
        if (config_parse(text, "t.yaml", NULL, 0, &config) != STATUS_OK) {
            assert_true(strncmp(status_text(), "t.yaml", 6) == 0);
            assert_true(strpbrk(status_text(), "\n\r") == NULL);
        }
        config_free(config);
        char *set = text_format("seed=%s", text);
        config = NULL;
        if (config_load(NULL, (const char *const *)&set, 1, &config) != STATUS_OK) {
            assert_true(strncmp(status_text(), "--set ", 6) == 0);
        }
        config_free(config);
        free(set);
    }
    free(huge);
}

static void nul_bytes_and_big_files_are_refused(void **state) {
    (void)state;
    char path[] = "/tmp/jmt_nul_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    config_t *config = NULL;
    CHECK_OK(file_write_durable(path, "seed: 1\n\0x: 2\n", 14));
    CHECK_FAILS(config_load(path, NULL, 0, &config), STATUS_INPUT,
                ":2:1: control characters are not allowed");
    char *big = alloc_zero((1 << 20) + 1, 1);
    CHECK_OK(file_write_durable(path, big, (1 << 20) + 1));
    CHECK_FAILS(config_load(path, NULL, 0, &config), STATUS_INPUT, "larger than 1 MiB");
    assert_null(config);
    free(big);
    remove(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys),
        cmocka_unit_test(values),
        cmocka_unit_test(documents),
        cmocka_unit_test(rules_across_keys),
        cmocka_unit_test(mistakes_of_published_code),
        cmocka_unit_test(settings_of_targets),
        cmocka_unit_test(rules_of_data),
        cmocka_unit_test(sizes_that_nobody_reads),
        cmocka_unit_test(rules_of_people),
        cmocka_unit_test(distances),
        cmocka_unit_test(nothing_crashes),
        cmocka_unit_test(nul_bytes_and_big_files_are_refused),
    };
    return RUN_TESTS(tests);
}
