#include "data-sharding/face_boxes.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "data-sharding/csv.h"
#include "kernels/base/bytes.h"

enum { FRAME, X, Y, WIDTH, HEIGHT, RIGHT, BOTTOM, CONFIDENCE, SUCCESS, COLUMNS };
enum { FRAMES_MAX = 1 << 22, FRAMES_PER_ROW_MAX = 1024, LANDMARKS_MAX = 1024 };

/* Names by which detectors call a column, in lower case. */
static const char *const names[COLUMNS] = {
    [FRAME] = " frame frame_id frame_idx frame_index frame_no frame_number ",
    [X] = " x x1 xmin x_min left bbox_x bbox_x1 face_x origin_x ",
    [Y] = " y y1 ymin y_min top bbox_y bbox_y1 face_y origin_y ",
    [WIDTH] = " w width bbox_w bbox_width face_w ",
    [HEIGHT] = " h height bbox_h bbox_height face_h ",
    [RIGHT] = " x2 xmax x_max right bbox_x2 ",
    [BOTTOM] = " y2 ymax y_max bottom bbox_y2 ",
    [CONFIDENCE] = " confidence score prob probability detection_score ",
    [SUCCESS] = " success ",
};

typedef struct table {
    csv_t csv;
    int columns[COLUMNS]; /* -1: not there */
    int x_points[LANDMARKS_MAX], y_points[LANDMARKS_MAX], point_count;
} table_t;

typedef struct face {
    picture_box_t box;
    double confidence;
} face_t;

static void lower_name(const char *field, char *name, size_t room) {
    while (isspace((unsigned char)*field)) {
        field++;
    }
    size_t bytes = 0;
    for (; field[bytes] != '\0' && bytes + 1 < room; bytes++) {
        name[bytes] = (char)tolower((unsigned char)field[bytes]);
    }
    while (bytes > 0 && isspace((unsigned char)name[bytes - 1])) {
        bytes--;
    }
    name[bytes] = '\0';
}

static int column_of(const csv_row_t *header, const char *wanted) {
    for (int c = 0; c < header->count; c++) {
        char name[64], padded[68];
        lower_name(header->fields[c], name, sizeof name);
        snprintf(padded, sizeof padded, " %s ", name);
        if (name[0] != '\0' && strchr(name, ' ') == NULL && strstr(wanted, padded) != NULL) {
            return c;
        }
    }
    return -1;
}

static void find_landmarks(table_t *table) {
    const csv_row_t *header = &table->csv.rows[0];
    for (int i = 0; i < LANDMARKS_MAX; i++) {
        char x[24], y[24];
        snprintf(x, sizeof x, " x_%d ", i);
        snprintf(y, sizeof y, " y_%d ", i);
        table->x_points[i] = column_of(header, x);
        table->y_points[i] = column_of(header, y);
        if (table->x_points[i] < 0 || table->y_points[i] < 0) {
            return;
        }
        table->point_count = i + 1;
    }
}

static status_t find_columns(table_t *table) {
    const csv_t *csv = &table->csv;
    if (csv->row_count == 0) {
        return status_fail(STATUS_INPUT, "%s: is empty; write a header frame,x,y,w,h", csv->path);
    }
    for (int i = 0; i < COLUMNS; i++) {
        table->columns[i] = column_of(&csv->rows[0], names[i]);
    }
    const int *c = table->columns;
    bool sized = c[X] >= 0 && c[Y] >= 0 && c[WIDTH] >= 0 && c[HEIGHT] >= 0;
    bool cornered = c[X] >= 0 && c[Y] >= 0 && c[RIGHT] >= 0 && c[BOTTOM] >= 0;
    if (!sized && !cornered) {
        find_landmarks(table);
    }
    if (c[FRAME] < 0 || (!sized && !cornered && table->point_count == 0)) {
        return status_fail(STATUS_INPUT,
                           "%s:%lld: no columns of boxes; name them frame,x,y,w,h or "
                           "frame,x1,y1,x2,y2, or give OpenFace's landmarks (-2Dfp)",
                           csv->path, (long long)csv->rows[0].line);
    }
    return STATUS_OK;
}

/* A cell that says there is nothing is NaN; one that is no number is an error. */
static status_t number_at(const csv_t *csv, int64_t row, int column, double *value_out) {
    char text[8] = "";
    if (column < csv->rows[row].count) {
        lower_name(csv->rows[row].fields[column], text, sizeof text);
    }
    if (column < csv->rows[row].count &&
        (text[0] == '\0' || strcmp(text, "nan") == 0 || strcmp(text, "none") == 0)) {
        *value_out = NAN;
        return STATUS_OK;
    }
    return csv_number(csv, row, column, value_out);
}

static status_t around_landmarks(const table_t *table, int64_t row, picture_box_t *box) {
    double left = INFINITY, top = INFINITY, right = -INFINITY, bottom = -INFINITY;
    for (int i = 0; i < table->point_count; i++) {
        double x, y;
        TRY(number_at(&table->csv, row, table->x_points[i], &x));
        TRY(number_at(&table->csv, row, table->y_points[i], &y));
        left = fmin(left, x);
        right = fmax(right, x);
        top = fmin(top, y);
        bottom = fmax(bottom, y);
    }
    *box = (picture_box_t){left, top, right - left, bottom - top};
    return STATUS_OK;
}

/* found: the row shows a face. */
static status_t face_of(const table_t *table, int64_t row, face_t *face, bool *found_out) {
    const int *c = table->columns;
    const csv_t *csv = &table->csv;
    double success = 1.0;
    *face = (face_t){.confidence = 0.0};
    if (c[SUCCESS] >= 0) {
        TRY(number_at(csv, row, c[SUCCESS], &success));
    }
    if (c[CONFIDENCE] >= 0) {
        TRY(number_at(csv, row, c[CONFIDENCE], &face->confidence));
    }
    picture_box_t *box = &face->box;
    if (table->point_count > 0) {
        TRY(around_landmarks(table, row, box));
    } else {
        bool sized = c[WIDTH] >= 0 && c[HEIGHT] >= 0;
        TRY(number_at(csv, row, c[X], &box->x));
        TRY(number_at(csv, row, c[Y], &box->y));
        TRY(number_at(csv, row, c[sized ? WIDTH : RIGHT], &box->width));
        TRY(number_at(csv, row, c[sized ? HEIGHT : BOTTOM], &box->height));
        box->width -= sized ? 0.0 : box->x;
        box->height -= sized ? 0.0 : box->y;
    }
    *found_out = success != 0.0 && isfinite(box->x) && isfinite(box->y) && box->width > 0.0 &&
                 box->height > 0.0 && isfinite(box->width) && isfinite(box->height);
    return STATUS_OK;
}

static bool is_better(const face_t *face, const face_t *than) {
    if (face->confidence != than->confidence && isfinite(face->confidence)) {
        return face->confidence > than->confidence;
    }
    return face->box.width * face->box.height > than->box.width * than->box.height;
}

status_t first_frame_of(const char *label, int64_t lowest, int64_t said, int64_t *first_out) {
    if (said < 0 && lowest > 0) {
        return status_fail(STATUS_INPUT,
                           "%s: its frames begin at %lld: say how they count by --set "
                           "first_frame=1 (as OpenFace and ffmpeg do) or --set first_frame=0",
                           label, (long long)lowest);
    }
    if (lowest < said) {
        return status_fail(STATUS_INPUT,
                           "%s: frame %lld is before the first, %lld; set first_frame as the "
                           "frames are counted",
                           label, (long long)lowest, (long long)said);
    }
    *first_out = max_i64(said, 0);
    return STATUS_OK;
}

/* A mistyped frame must not fill the memory. */
static status_t lowest_frame(const table_t *table, int64_t *lowest_out, int64_t *highest_out) {
    const csv_t *csv = &table->csv;
    double most = FRAMES_MAX + (double)FRAMES_PER_ROW_MAX * (double)csv->row_count;
    *lowest_out = INT64_MAX;
    *highest_out = -1;
    for (int64_t row = 1; row < csv->row_count; row++) {
        double frame;
        TRY(csv_number(csv, row, table->columns[FRAME], &frame));
        if (!(frame >= 0.0 && frame < most && frame == floor(frame))) {
            return status_fail(STATUS_INPUT, "%s:%lld: %g counts no frame; repair the row",
                               csv->path, (long long)csv->rows[row].line, frame);
        }
        *lowest_out = min_i64(*lowest_out, (int64_t)frame);
        *highest_out = max_i64(*highest_out, (int64_t)frame);
    }
    return STATUS_OK;
}

static status_t fill(const table_t *table, int64_t first, face_t *faces, face_boxes_t *boxes) {
    const csv_t *csv = &table->csv;
    boxes->relative = true;
    for (int64_t row = 1; row < csv->row_count; row++) {
        double frame;
        face_t face;
        bool found = false;
        TRY(csv_number(csv, row, table->columns[FRAME], &frame));
        TRY(face_of(table, row, &face, &found));
        if (!found) {
            continue;
        }
        boxes->relative = boxes->relative && face.box.width <= 1.0 && face.box.height <= 1.0;
        face_t *known = &faces[(int64_t)frame - first];
        boxes->several += known->box.width > 0.0;
        if (known->box.width == 0.0 || is_better(&face, known)) {
            *known = face;
        }
    }
    for (int64_t i = 0; i < boxes->count; i++) {
        boxes->boxes[i] = faces[i].box;
    }
    return STATUS_OK;
}

static status_t read_table(table_t *table, int64_t said, face_boxes_t *boxes) {
    int64_t lowest, highest, first = 0;
    TRY(find_columns(table));
    TRY(lowest_frame(table, &lowest, &highest));
    if (highest < 0) {
        return STATUS_OK; /* no face in any frame */
    }
    TRY(first_frame_of(table->csv.path, lowest, said, &first));
    boxes->count = highest - first + 1;
    boxes->boxes = alloc_zero(boxes->count, sizeof *boxes->boxes);
    face_t *faces = alloc_zero(boxes->count, sizeof *faces);
    status_t status = fill(table, first, faces, boxes);
    free(faces);
    return status;
}

status_t face_boxes_read(const char *path, int64_t first_frame, face_boxes_t *boxes_out) {
    table_t *table = alloc_zero(1, sizeof *table);
    face_boxes_t boxes = {0};
    status_t status = csv_open(path, &table->csv);
    if (status == STATUS_OK) {
        status = read_table(table, first_frame, &boxes);
        csv_close(&table->csv);
    }
    free(table);
    if (status != STATUS_OK) {
        face_boxes_free(&boxes);
        return status;
    }
    *boxes_out = boxes;
    return STATUS_OK;
}

void face_boxes_free(face_boxes_t *boxes) {
    free(boxes->boxes);
    *boxes = (face_boxes_t){0};
}

bool face_boxes_at(const face_boxes_t *boxes, int64_t frame, int width, int height,
                   picture_box_t *box_out) {
    if (frame >= boxes->count || boxes->boxes[frame].width == 0.0) {
        return false;
    }
    const picture_box_t *box = &boxes->boxes[frame];
    double across = boxes->relative ? width : 1.0, down = boxes->relative ? height : 1.0;
    *box_out =
        (picture_box_t){box->x * across, box->y * down, box->width * across, box->height * down};
    return true;
}
