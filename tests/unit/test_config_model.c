/* Every way what a model is made of can be wrong: forms of the fusion, modalities. */
#include "unit/wrong_config.h"

static void forms_of_the_fusion(void **state) {
    (void)state;
    const wrong_t cases[] = {
        {DATA "model: {name: mt, token: mean}\n",
         ":3:26: model.token has no effect with model.name mt; remove it, or leave its default "
         "last"},
        {DATA "model: {output: fc, token_type: true}\n",
         ":3:33: model.token_type has no effect with model.output fc; remove it, or leave its "
         "default false"},
        {DATA "model: {name: concat, branches: [a<-b]}\n",
         ":3:33: model.branches has no effect with model.name concat; remove it, or leave its "
         "default []"},
        {DATA "model: {branches: [a<-c]}\n",
         ":3:19: model.branches names 'a<-c', which model jmt does not have; write QUERY<-KEY, "
         "such as a<-b"},
        {DATA "model: {name: mt, branches: [joint<-a]}\n",
         ":3:29: model.branches names 'joint<-a', which model mt does not have; write QUERY<-KEY, "
         "such as a<-b"},
        {DATA "model: {branches: [a<-b, -b<-a]}\n",
         ":3:19: model.branches mixes branches to keep with branches to drop; write - before all "
         "names or before none"},
        {DATA "model: {name: mt, branches: [-a<-b, -b<-a]}\n",
         ":3:29: model.branches leaves no branch; keep at least one"},
        {DATA "model: {name: jmt_no_joint, modalities: a}\n",
         ":3:41: model jmt_no_joint needs at least 2 modalities and has 1; use model.name: jmt or "
         "unimodal, or add a modality"},
        {DATA "model: {joint: none}\n", ":3:16: a jmt without joint stream is a model of its own; "
                                        "set model.name: jmt_no_joint and "
                                        "leave model.joint at linear"},
        {DATA "model: {name: jmt_no_joint, joint: mlp}\n",
         ":3:36: model.joint has no effect with model.name jmt_no_joint; remove it, or leave its "
         "default linear"},
        {DATA "model: {name: mt, missing: learned}\n",
         ":3:28: model.missing has no effect with model.name mt; remove it, or leave its default "
         "zeros"},
        {DATA "model: {name: decision, normalize: none}\n",
         ":3:36: model.normalize has no effect with model.name decision; remove it, or leave its "
         "default l2"},
        {DATA "model: {name: concat_encoder, attn_form: paper_literal}\n",
         ":3:42: model.attn_form has no effect with model.name concat_encoder; remove it, or leave "
         "its default standard"},
        {DATA "model: {missing: learned, branches: [a<-b, b<-a]}\n",
         ":3:37: model.missing has no effect: model.branches leaves no branch with joint; keep "
         "one, "
         "or leave the default zeros"},
        {"modalities: {a: {}, b: {}, c: {}}\ntargets: {x: {}}\nmodel: {name: mt, branches: "
         "[b<-a]}\n",
         ":3:29: model.branches leaves c out of every branch; keep one with it, or take it out of "
         "model.modalities"},
    };
    CHECK_ALL(cases, STATUS_INPUT);
}

static void rules_of_modalities(void **state) {
    (void)state;
    const wrong_t cases[] = {
        {DATA "modalities.a.tcn_kernel: 3\n",
         ":3:26: modalities.a.tcn_kernel has no effect with front auto; set modalities.a.front: "
         "tcn, or leave its default 5"},
        {DATA "modalities.a.front: linear\nmodalities.a.tcn_dropout: 0\n",
         ":4:27: modalities.a.tcn_dropout has no effect with front linear; set "
         "modalities.a.front: tcn, or leave its default 0.1"},
        {DATA "modalities.a.frozen: true\n",
         ":3:22: modalities.a.frozen has no effect with backbone none; choose another backbone, or "
         "leave its default false"},
        {DATA "modalities.a.backbone: r3d_18\nmodalities.a.frozen: true\n"
              "modalities.a.batch_norm: shard\n",
         ":5:26: modalities.a.batch_norm shard would change a frozen backbone; leave its default "
         "frozen"},
        {DATA "modalities.a.intra: concat_fc\n",
         ":3:21: modalities.a.intra has no effect on features of its own; set modalities.a.of, or "
         "leave its default encoder_plus_self_attention"},
        {DATA "modalities.c.of: [a]\n",
         ":3:18: modalities.c.of takes two different modalities; write of: [a, b]"},
        {DATA "modalities.c.of: [a, a]\n",
         ":3:18: modalities.c.of takes two different modalities; write of: [a, b]"},
        {DATA "modalities.c.of: [a, b, c]\n",
         ":3:18: modalities.c.of takes two different modalities; write of: [a, b]"},
        {DATA "modalities.c.of: [a, d]\n",
         ":3:18: modalities.c.of names 'd', which modalities does not have; add modalities.d or "
         "correct the name"},
        {DATA "modalities.c.of: [a, c]\n",
         ":3:18: modalities.c.of names 'c', which is made of others itself; name two with features "
         "of their own"},
        {DATA "modalities.c.of: [a, b]\nmodalities.d.of: [e, a]\nmodalities.e: {}\n",
         ":3:18: 'a' is in modalities.d.of and in modalities.c.of; remove it from one"},
        {DATA "modalities.c.of: [a, b]\nmodel.modalities: [c, b]\n",
         ":4:19: model.modalities has both c and its part 'b'; remove one"},
        {DATA "modalities.a.dilation: 4\n", ":3:24: modalities.a.dilation has no effect on single "
                                            "steps; set modalities.a.clip above "
                                            "1, or leave its default 1"},
        {DATA "modalities.c.of: [a, b]\nmodalities.c.dim: 4\n",
         ":4:19: modalities.c.dim has no effect beside of; set it for the parts, or leave its "
         "default 0"},
        {DATA "modalities.c.of: [a, b]\nmodalities.c.tcn_blocks: 2\n",
         ":4:26: modalities.c.tcn_blocks has no effect beside of; set it for the parts, or leave "
         "its default 4"},
        {DATA "modalities.c.of: [a, b]\nmodalities.c.intra: concat_fc\nmodel: {name: concat, "
              "dropout: 0.1}\n",
         ":5:32: model.dropout has no effect with model.name concat; remove it, or leave its "
         "default 0"},
        {DATA "modalities.c.of: [a, b]\nmodel.name: mt\n",
         ":4:13: model mt needs at least 2 modalities and has 1; use model.name: jmt or unimodal, "
         "or add a modality"},
        {DATA "modalities.c.of: [a, b]\nmodel.branches: [a<-joint]\n",
         ":4:17: model.branches names 'a<-joint', which model jmt does not have; write QUERY<-KEY, "
         "such as c<-joint"},
        {DATA "modalities.b.front: tcn\nmodalities.b.tcn_causal: false\nmodel.causal: true\n",
         ":5:15: modalities.b.tcn_causal false lets later steps in, against model.causal; set one "
         "of them otherwise"},
    };
    CHECK_ALL(cases, STATUS_INPUT);
}

#define NO_WAY                                                                                     \
    "' is no way to make input worse; write noise:DB, drop:PROBABILITY, missing:PROBABILITY, "     \
    "muted:PROBABILITY or shift:STEPS"

static void rules_of_input(void **state) {
    (void)state;
    const wrong_t cases[] = {
        {DATA "modalities.a.backbone: i3d\nmodalities.a.upsample: 3\n",
         ":4:24: modalities.a.size 112 is no multiple of upsample 3; pictures of the data times "
         "upsample make size"},
        {DATA "modalities.a.corrupt: [drop:0.5, nose:10]\n",
         ":3:23: modalities.a.corrupt: 'nose:10" NO_WAY},
        {DATA "modalities.a.corrupt: [missing:1.5]\n",
         ":3:23: modalities.a.corrupt: 'missing:1.5" NO_WAY},
        {DATA "modalities.a.corrupt: [shift]\n", ":3:23: modalities.a.corrupt: 'shift" NO_WAY},
        {DATA "modalities.a.corrupt: [noise:1e]\n",
         ":3:23: modalities.a.corrupt: 'noise:1e" NO_WAY},
        {DATA "modalities.a.corrupt: [noise:10, noise:0]\n",
         ":3:23: modalities.a.corrupt has noise twice; leave one"},
    };
    CHECK_ALL(cases, STATUS_INPUT);
}

static void built_in_modalities(void **state) {
    (void)state;
#define TELLS                                                                                      \
    "clock tells the time since a recording began, which knows the order of its tasks; set "       \
    "schedule_known: true, and tables say so, or leave clock out"
    const wrong_t cases[] = {
        {"modalities:\n  a: {}\n  clock: {}\ntargets: {y: {}}\n", ":3:3: " TELLS},
        {"schedule_known: false\nmodalities: {a: {}, clock: {}}\ntargets: {y: {}}\n",
         ":2:21: " TELLS},
        {"modalities: {a: {}, clock: {}}\ntargets: {y: {}}\nmodel: {modalities: [a, clock]}\n",
         ":3:21: " TELLS},
        {"model:\n  name: clock\n", ":2:9: " TELLS},
        {"model: {name: clock}\nschedule_known: true\nmodalities: {a: {}}\ntargets: {y: {}}\n",
         ":1:15: model clock reads the built-in modality of that name; add modalities: {clock: "
         "{}}"},
        {"data: {clock_step_s: 5}\nmodalities: {a: {}}\ntargets: {y: {}}\n",
         ":1:22: data.clock_step_s has no effect without the built-in modalities clock and "
         "stimulus; remove it, or add one to modalities"},
    };
    CHECK_ALL(cases, STATUS_INPUT);
    config_t *config = NULL;
    const char *fine[] = {"schedule_known: true\nmodalities: {clock: {}}\ntargets: {y: {}}\n",
                          "model: {modalities: [a]}\nmodalities: {a: {}, clock: {}}\n"
                          "targets: {y: {}}\n",
                          "modalities: {a: {}, stimulus: {}}\ntargets: {y: {}}\n"};
    for (int i = 0; i < ARRAY_LEN(fine); i++) {
        CHECK_OK(config_parse(fine[i], "t.yaml", NULL, 0, &config));
        config_free(config);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms_of_the_fusion),
        cmocka_unit_test(rules_of_modalities),
        cmocka_unit_test(rules_of_input),
        cmocka_unit_test(built_in_modalities),
    };
    return RUN_TESTS(tests);
}
