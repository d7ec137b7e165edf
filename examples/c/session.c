/* The student in C: a toolset is read once, then requests over it are answered, greedily and without a grammar, through ONNX Runtime's C API.
 *
 *     session FOLDER < ids.txt
 *
 * FOLDER is what `needle export` leaves. The first line of the input is the toolset and every further line is a request, as token ids (tokens.py
 * writes them). For each request one line of token ids comes out, which tokens.py turns into calls. Times go to stderr.
 *
 * Names and shapes are those of "An exported model" in docs/formats.md. What a program must add: the tokenizer (tokenizer.json is a byte-level BPE
 * that the `tokenizers` library and its bindings read) and, so that every call fits its schema, the grammar (llguidance has a C interface). Common
 * words do not count here (prior.json, which the Python runtime and the browser read where a model has one).
 */
#include <onnxruntime_c_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PAD, EOS, BOS, MOST_IDS = 8192, MOST_LAYERS = 64, MOST_INPUTS = 4 * MOST_LAYERS + 8 };

static const OrtApi *api;
static OrtMemoryInfo *memory;

static void check(OrtStatus *status) {
  if (!status) return;
  fprintf(stderr, "session: %s\n", api->GetErrorMessage(status));
  exit(1);
}

static void fail(const char *reason) {
  fprintf(stderr, "session: %s\n", reason);
  exit(2);
}

static double milliseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return 1e3 * now.tv_sec + 1e-6 * now.tv_nsec;
}

/* A tensor over memory that lives longer than the tensor. */
static OrtValue *tensor(void *data, const int64_t *shape, size_t rank, ONNXTensorElementDataType kind) {
  size_t bytes = kind == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT ? 4 : 8;
  for (size_t axis = 0; axis < rank; axis++) bytes *= shape[axis];
  OrtValue *value;
  check(api->CreateTensorWithDataAsOrtValue(memory, data, bytes, shape, rank, kind, &value));
  return value;
}

static OrtValue *integers(int64_t *data, int64_t rows, int64_t columns) {
  int64_t shape[] = {rows, columns};
  return tensor(data, rows ? shape : shape + 1, rows ? 2 : 1, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64);
}

/* The inputs or outputs of one run, by name. */
typedef struct {
  char names[MOST_INPUTS][32];
  OrtValue *values[MOST_INPUTS];
  size_t count;
} Values;

static void add(Values *all, const char *stem, int layer, OrtValue *value) {
  if (all->count == MOST_INPUTS) fail("too many layers");
  if (layer < 0) snprintf(all->names[all->count], sizeof all->names[0], "%s", stem);
  else snprintf(all->names[all->count], sizeof all->names[0], "%s_%d", stem, layer);
  all->values[all->count++] = value;
}

static void run(OrtSession *session, const Values *in, Values *out) {
  const char *given[MOST_INPUTS], *wanted[MOST_INPUTS];
  for (size_t at = 0; at < in->count; at++) given[at] = in->names[at];
  for (size_t at = 0; at < out->count; at++) wanted[at] = out->names[at];
  check(api->Run(session, NULL, given, (const OrtValue *const *)in->values, in->count, wanted, out->count, out->values));
}

static void release(Values *all, size_t from, size_t to) {
  for (size_t at = from; at < to; at++) api->ReleaseValue(all->values[at]);
}

typedef struct {
  OrtSession *encoder, *decoder;
  int encoder_layers, decoder_layers;
  int64_t keys, width, stacked; /* key heads, head width, heads of a whole past */
} Student;

/* Keys and values of encoder and decoder layers, in turn. */
typedef struct {
  int64_t length;
  OrtValue *own[2 * MOST_LAYERS], *cross[2 * MOST_LAYERS];
} Encoded;

static int64_t shape_of(const OrtTensorTypeAndShapeInfo *info, size_t axis) {
  int64_t shape[8];
  size_t rank;
  check(api->GetDimensionsCount(info, &rank));
  if (axis >= rank || rank > 8) fail("not a graph of the student");
  check(api->GetDimensions(info, shape, rank));
  return shape[axis];
}

/* Reads the shape of the model from the inputs of its graphs. */
static int layers_of(OrtSession *session, const char *stem, Student *student) {
  OrtAllocator *allocator;
  size_t count;
  int layers = 0;
  check(api->GetAllocatorWithDefaultOptions(&allocator));
  check(api->SessionGetInputCount(session, &count));
  for (size_t at = 0; at < count; at++) {
    char *name;
    OrtTypeInfo *type;
    const OrtTensorTypeAndShapeInfo *info;
    check(api->SessionGetInputName(session, at, allocator, &name));
    check(api->SessionGetInputTypeInfo(session, at, &type));
    check(api->CastTypeInfoToTensorInfo(type, &info));
    if (!strncmp(name, stem, strlen(stem))) {
      layers++;
      student->keys = shape_of(info, 1);
      student->width = shape_of(info, 3);
    } else if (!strcmp(name, "past")) {
      student->stacked = shape_of(info, 1);
    }
    api->ReleaseTypeInfo(type);
    check(api->AllocatorFree(allocator, name));
  }
  if (layers < 1 || layers > MOST_LAYERS) fail("not a graph of the student");
  return layers;
}

static Student load(OrtEnv *env, const char *folder) {
  Student student = {0};
  OrtSessionOptions *options;
  char path[4096];
  check(api->CreateSessionOptions(&options));
  check(api->SetIntraOpNumThreads(options, 1));
  snprintf(path, sizeof path, "%s/encoder.onnx", folder); /* it finds model.safetensors beside itself */
  check(api->CreateSession(env, path, options, &student.encoder));
  snprintf(path, sizeof path, "%s/decoder.onnx", folder);
  check(api->CreateSession(env, path, options, &student.decoder));
  api->ReleaseSessionOptions(options);
  student.encoder_layers = layers_of(student.encoder, "past_key_", &student);
  student.decoder_layers = layers_of(student.decoder, "tools_key_", &student);
  return student;
}

/* A toolset (`tools` NULL) or a request over it. */
static Encoded encode(const Student *student, int64_t *ids, int64_t length, const Encoded *tools) {
  Encoded found = {.length = length};
  int64_t start = tools ? tools->length : 0, sizes[] = {start, length}, positions[MOST_IDS];
  int64_t none[] = {1, student->keys, 0, student->width};
  static float nothing;
  for (int64_t at = 0; at < length; at++) positions[at] = start + at;
  Values in = {.count = 0}, out = {.count = 0};
  add(&in, "ids", -1, integers(ids, 1, length));
  add(&in, "positions", -1, integers(positions, 1, length));
  add(&in, "sizes", -1, integers(sizes, 0, 2));
  for (int layer = 0; layer < student->encoder_layers; layer++) {
    for (int part = 0; part < 2; part++) {
      OrtValue *past = tools ? tools->own[2 * layer + part] : tensor(&nothing, none, 4, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT);
      add(&in, part ? "past_value" : "past_key", layer, past);
      add(&out, part ? "own_value" : "own_key", layer, NULL);
    }
  }
  for (int layer = 0; layer < student->decoder_layers; layer++) {
    add(&out, "cross_key", layer, NULL);
    add(&out, "cross_value", layer, NULL);
  }
  run(student->encoder, &in, &out);
  release(&in, 0, tools ? 3 : in.count);
  memcpy(found.own, out.values, 2 * student->encoder_layers * sizeof *out.values);
  memcpy(found.cross, out.values + 2 * student->encoder_layers, 2 * student->decoder_layers * sizeof *out.values);
  return found;
}

static void forget(const Student *student, Encoded *encoded) {
  for (int at = 0; at < 2 * student->encoder_layers; at++) api->ReleaseValue(encoded->own[at]);
  for (int at = 0; at < 2 * student->decoder_layers; at++) api->ReleaseValue(encoded->cross[at]);
}

/* One token in, the likeliest next one out; `past` grows by a place. */
static int64_t step(const Student *student, Values *fixed, int64_t token, int64_t place, OrtValue **past) {
  static const float zeros[MOST_IDS];
  int64_t last = 0, seen[] = {1, 1, 1, place + 1};
  Values out = {.count = 0};
  size_t kept = fixed->count;
  add(fixed, "ids", -1, integers(&token, 1, 1));
  add(fixed, "positions", -1, integers(&place, 1, 1));
  add(fixed, "last", -1, integers(&last, 1, 1));
  add(fixed, "bias", -1, tensor((void *)zeros, seen, 4, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT));
  add(fixed, "past", -1, *past);
  add(&out, "logits", -1, NULL);
  add(&out, "present", -1, NULL);
  run(student->decoder, fixed, &out);
  release(fixed, kept, fixed->count);
  fixed->count = kept;
  *past = out.values[1];

  OrtTensorTypeAndShapeInfo *info;
  float *logits;
  size_t size, best = EOS;
  check(api->GetTensorTypeAndShape(out.values[0], &info));
  check(api->GetTensorShapeElementCount(info, &size));
  check(api->GetTensorMutableData(out.values[0], (void **)&logits));
  for (size_t at = 0; at < size; at++)
    if (at != PAD && at != BOS && (logits[at] > logits[best] || (logits[at] == logits[best] && at < best))) best = at;
  api->ReleaseTensorTypeAndShapeInfo(info);
  api->ReleaseValue(out.values[0]);
  return (int64_t)best;
}

static int answer(const Student *student, const Encoded *tools, const Encoded *request, int most) {
  static const float zeros[2 * MOST_IDS];
  int64_t sizes[] = {tools->length, request->length}, source[] = {1, 1, 1, tools->length + request->length};
  int64_t none[] = {1, student->stacked, 0, student->width}, token = BOS;
  static float nothing;
  int place = 0;
  Values fixed = {.count = 0};
  add(&fixed, "sizes", -1, integers(sizes, 0, 2));
  add(&fixed, "source_bias", -1, tensor((void *)zeros, source, 4, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT));
  for (int layer = 0; layer < student->decoder_layers; layer++) {
    add(&fixed, "tools_key", layer, tools->cross[2 * layer]);
    add(&fixed, "tools_value", layer, tools->cross[2 * layer + 1]);
    add(&fixed, "request_key", layer, request->cross[2 * layer]);
    add(&fixed, "request_value", layer, request->cross[2 * layer + 1]);
  }
  OrtValue *past = tensor(&nothing, none, 4, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT);
  while (token != EOS && place < most) {
    token = step(student, &fixed, token, place++, &past);
    printf(place > 1 ? " %lld" : "%lld", (long long)token);
  }
  printf("\n");
  fflush(stdout);
  api->ReleaseValue(past);
  release(&fixed, 0, 2);
  return place;
}

/* Ids of the next line; -1 at the end of the input. */
static int64_t read_ids(int64_t *ids) {
  static char line[16 * MOST_IDS];
  int64_t count = 0;
  if (!fgets(line, sizeof line, stdin)) return -1;
  for (char *word = strtok(line, " \t\r\n"); word; word = strtok(NULL, " \t\r\n")) {
    char *end;
    if (count == MOST_IDS) fail("a line of the input is too long");
    ids[count++] = strtoll(word, &end, 10);
    if (*end) fail("the input holds something that is no token id");
  }
  if (!count) fail("a line of the input is empty");
  return count;
}

int main(int arguments, char **argument) {
  static int64_t ids[MOST_IDS];
  if (arguments != 2) fail("give the folder of an exported model; token ids are read from stdin (see tokens.py)");
  api = OrtGetApiBase()->GetApi(ORT_API_VERSION);
  if (!api) fail("this ONNX Runtime is older than the header that the program was built with");
  OrtEnv *env;
  check(api->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "needle", &env));
  check(api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));

  double began = milliseconds();
  Student student = load(env, argument[1]);
  double loaded = milliseconds();
  int64_t length = read_ids(ids);
  if (length < 0) fail("no input");
  Encoded tools = encode(&student, ids, length, NULL);
  fprintf(stderr, "loaded in %.1f ms, toolset of %lld tokens read in %.1f ms\n", loaded - began, (long long)length, milliseconds() - loaded);
  while ((length = read_ids(ids)) > 0) {
    began = milliseconds();
    Encoded request = encode(&student, ids, length, &tools);
    int written = answer(&student, &tools, &request, 512);
    fprintf(stderr, "request of %lld tokens answered with %d in %.1f ms\n", (long long)length, written, milliseconds() - began);
    forget(&student, &request);
  }
  forget(&student, &tools);
  api->ReleaseSession(student.encoder);
  api->ReleaseSession(student.decoder);
  api->ReleaseMemoryInfo(memory);
  api->ReleaseEnv(env);
  return 0;
}
