// The operators of the ONNX domain `edgead` as plugins of TensorRT 10.3 to 11 and TensorRT for RTX: one source for all of them.
//
// It compiles with the headers of each, is then for the one whose headers they were, and links none of their libraries.
// IPluginRegistry::loadLibrary (load_library in Python, trtexec --dynamicPlugins) finds the creators by the functions at the end.
// For hosts that only open a library (trtexec --staticPlugins, Triton), EDGEAD_REGISTER_PLUGINS in the environment makes it
// register by itself, with the TensorRT that is loaded.
#include <NvInfer.h>
#include <dlfcn.h>

#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <new>

#include "edgead/ciede2000.h"
#include "edgead/neighbor_masked_attention.h"

namespace {

using namespace nvinfer1;

constexpr char kNamespace[] = "edgead", kVersion[] = "1";

ILoggerFinder *logger_finder = nullptr;

// An error into TensorRT's log, or to stderr where nobody has said which log. Always false.
__attribute__((format(printf, 1, 2))) bool refuse(const char *format, ...) {
  char text[512];
  std::va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  ILogger *logger = logger_finder ? logger_finder->findLogger() : nullptr;
  if (logger) {
    logger->log(ILogger::Severity::kERROR, text);
  } else {
    std::fprintf(stderr, "%s\n", text);
  }
  return false;
}

// Whether the operator takes a problem of this status, and why not.
bool accepted(const char *name, int status) {
  switch (status) {
    case edgead::kOk: return true;
    case edgead::kBadSize: return refuse("edgead %s: a side of the grid is not 1 to %d", name, edgead::kMaxGrid);
    case edgead::kBadCount: return refuse("edgead %s: num_heads is not 1 to %d", name, edgead::kMaxHeads);
    case edgead::kBadHead:
      return refuse("edgead %s: a head is not %d to %d numbers wide", name, edgead::kMinDim, edgead::kMaxDim);
    case edgead::kBadWindow: return refuse("edgead %s: the window has no centre, or leaves a query without a key", name);
    case edgead::kCudaFailed: return refuse("edgead %s: CUDA failed (%s)", name, edgead_cuda_error());
    default: return refuse("edgead %s: status %d", name, status);
  }
}

// What all operators have in common: one output, of the type of the inputs, in the usual order of numbers. Subclasses say what
// they take. A plugin keeps nothing of the shapes and owns nothing on the device.
class Plugin : public IPluginV3, public IPluginV3OneCore, public IPluginV3OneBuild, public IPluginV3OneRuntime {
 public:
  // Of the inputs alone; -1 is a side that is not known yet. Says why, where it is false.
  virtual bool takes(const Dims *shapes) const noexcept = 0;
  virtual bool takes(DataType type) const noexcept = 0;
  virtual int inputs() const noexcept = 0;

  IPluginCapability *getCapabilityInterface(PluginCapabilityType type) noexcept override {
    switch (type) {
      case PluginCapabilityType::kCORE: return static_cast<IPluginV3OneCore *>(this);
      case PluginCapabilityType::kBUILD: return static_cast<IPluginV3OneBuild *>(this);
      case PluginCapabilityType::kRUNTIME: return static_cast<IPluginV3OneRuntime *>(this);
    }
    return nullptr;
  }

  const char *getPluginVersion() const noexcept override { return kVersion; }
  const char *getPluginNamespace() const noexcept override { return kNamespace; }
  std::int32_t getNbOutputs() const noexcept override { return 1; }

  std::int32_t getOutputDataTypes(DataType *outputs, std::int32_t, const DataType *types,
                                  std::int32_t count) const noexcept override {
    if (!counted(count)) return -1;
    outputs[0] = types[0];
    return 0;
  }

  bool supportsFormatCombination(std::int32_t position, const DynamicPluginTensorDesc *tensors, std::int32_t,
                                 std::int32_t) noexcept override {
    const PluginTensorDesc &tensor = tensors[position].desc;
    return tensor.format == TensorFormat::kLINEAR && takes(tensor.type) && tensor.type == tensors[0].desc.type;
  }

  std::int32_t getOutputShapes(const DimsExprs *given, std::int32_t count, const DimsExprs *, std::int32_t, DimsExprs *outputs,
                               std::int32_t, IExprBuilder &builder) noexcept override {
    if (!counted(count)) return -1;
    Dims shapes[kMostInputs];
    for (std::int32_t i = 0; i < count; ++i) {
      shapes[i].nbDims = given[i].nbDims;
      for (std::int32_t k = 0; k < given[i].nbDims; ++k)
        shapes[i].d[k] = given[i].d[k]->isConstant() ? given[i].d[k]->getConstantValue() : -1;
    }
    if (!takes(shapes)) return -1;
    outputs[0] = output(given, builder);
    return 0;
  }

  std::int32_t configurePlugin(const DynamicPluginTensorDesc *tensors, std::int32_t count, const DynamicPluginTensorDesc *,
                               std::int32_t) noexcept override {
    if (!counted(count)) return -1;
    Dims shapes[kMostInputs];
    for (std::int32_t i = 0; i < count; ++i) shapes[i] = tensors[i].desc.dims;
    return takes(shapes) ? 0 : -1;
  }

  std::int32_t onShapeChange(const PluginTensorDesc *tensors, std::int32_t count, const PluginTensorDesc *,
                             std::int32_t) noexcept override {
    if (!counted(count)) return -1;
    Dims shapes[kMostInputs];
    for (std::int32_t i = 0; i < count; ++i) shapes[i] = tensors[i].dims;
    return takes(shapes) ? 0 : -1;
  }

  IPluginV3 *attachToContext(IPluginResourceContext *) noexcept override { return clone(); }

 protected:
  static constexpr int kMostInputs = 3;

  virtual DimsExprs output(const DimsExprs *given, IExprBuilder &builder) const noexcept = 0;

  // Whether a shape has so many sides, and those of the first input as far as they are known.
  bool alike(const Dims &shape, const Dims &first, std::int32_t sides) const noexcept {
    if (shape.nbDims != sides)
      return refuse("edgead %s: an input has %d dimensions instead of %d", getPluginName(), shape.nbDims, sides);
    for (int k = 0; k < sides; ++k)
      if (shape.d[k] >= 0 && first.d[k] >= 0 && shape.d[k] != first.d[k])
        return refuse("edgead %s: the shapes of its inputs differ", getPluginName());
    return true;
  }

  bool counted(std::int32_t count) const noexcept {
    return count == inputs() || refuse("edgead %s: %d inputs instead of %d", getPluginName(), count, inputs());
  }
};

// NeighborMaskedAttention(q, k, v) -> like q, all [N, height * width, C].
class AttentionPlugin final : public Plugin {
 public:
  static constexpr char kName[] = "NeighborMaskedAttention";
  static constexpr int kFields = 5;

  // The attributes under their names in ONNX, each with the address of its value.
  PluginFieldCollection fields(PluginField *room) const noexcept {
    room[0] = {"num_heads", &problem_.heads, PluginFieldType::kINT32, 1};
    room[1] = {"height", &problem_.height, PluginFieldType::kINT32, 1};
    room[2] = {"width", &problem_.width, PluginFieldType::kINT32, 1};
    room[3] = {"neighbor_height", &problem_.neighbor_height, PluginFieldType::kINT32, 1};
    room[4] = {"neighbor_width", &problem_.neighbor_width, PluginFieldType::kINT32, 1};
    return {kFields, room};
  }

  // Reads the attributes. Says what is wrong with them, where it is false.
  bool read(const PluginFieldCollection &given) noexcept {
    PluginField room[kFields];
    fields(room);
    for (const PluginField &wanted : room) {
      const PluginField *found = nullptr;
      for (std::int32_t i = 0; i < given.nbFields; ++i)
        if (!std::strcmp(given.fields[i].name, wanted.name)) found = given.fields + i;
      if (!found || !found->data) return refuse("edgead %s: the attribute %s is missing", kName, wanted.name);
      if (found->type != wanted.type || found->length != wanted.length)
        return refuse("edgead %s: the attribute %s is not one 32-bit integer", kName, wanted.name);
      std::memcpy(const_cast<void *>(wanted.data), found->data, sizeof(std::int32_t));
    }
    return accepted(kName, edgead::checked(sized(0, edgead::kMinDim)));  // any width of a head will do until shapes are known
  }

  const char *getPluginName() const noexcept override { return kName; }
  int inputs() const noexcept override { return 3; }
  IPluginV3 *clone() noexcept override { return new (std::nothrow) AttentionPlugin(*this); }

  bool takes(DataType type) const noexcept override {
    return type == DataType::kFLOAT || type == DataType::kHALF || type == DataType::kBF16;
  }

  bool takes(const Dims *shapes) const noexcept override {
    const long long tokens = 1ll * problem_.height * problem_.width;
    for (int i = 0; i < inputs(); ++i) {
      const Dims &shape = shapes[i];
      if (!alike(shape, shapes[0], 3)) return false;
      if (shape.d[1] >= 0 && shape.d[1] != tokens)
        return refuse("edgead %s: %lld tokens do not fill the grid of %lld", kName, (long long)shape.d[1], tokens);
      if (shape.d[2] < 0) continue;
      if (shape.d[2] % problem_.heads)
        return refuse("edgead %s: %lld channels do not make %d heads", kName, (long long)shape.d[2], problem_.heads);
      if (!accepted(kName, edgead::checked(sized(0, shape.d[2] / problem_.heads)))) return false;
    }
    return true;
  }

  std::int32_t enqueue(const PluginTensorDesc *tensors, const PluginTensorDesc *, const void *const *in, void *const *out, void *,
                       cudaStream_t stream) noexcept override {
    const Dims &shape = tensors[0].dims;
    const edgead::Attention problem = sized(shape.d[0], shape.d[2] / problem_.heads);
    const std::int32_t type = tensors[0].type == DataType::kHALF   ? edgead::kFloat16
                              : tensors[0].type == DataType::kBF16 ? edgead::kBFloat16
                                                                   : edgead::kFloat32;
    const int status = edgead_cuda_neighbor_masked_attention(in[0], in[1], in[2], out[0], type, &problem, stream);
    return accepted(kName, status) ? 0 : -1;
  }

  const PluginFieldCollection *getFieldsToSerialize() noexcept override {
    collection_ = fields(room_);
    return &collection_;
  }

 private:
  DimsExprs output(const DimsExprs *given, IExprBuilder &) const noexcept override { return given[0]; }

  edgead::Attention sized(std::int64_t batch, std::int64_t dim) const noexcept {
    edgead::Attention problem = problem_;
    problem.batch = batch;
    problem.dim = std::int32_t(dim <= edgead::kMaxDim ? dim : edgead::kMaxDim + 1);
    return problem;
  }

  edgead::Attention problem_ = {};  // the attributes; batch and dim are those of the shapes
  PluginField room_[kFields];
  PluginFieldCollection collection_ = {};
};

// CIEDE2000(lab1, lab2), [N, 3, H, W] of CIELAB -> [N, 1, H, W], float32.
class ColorDifferencePlugin final : public Plugin {
 public:
  static constexpr char kName[] = "CIEDE2000";
  static constexpr int kFields = 0;

  PluginFieldCollection fields(PluginField *) const noexcept { return {0, nullptr}; }
  bool read(const PluginFieldCollection &) noexcept { return true; }

  const char *getPluginName() const noexcept override { return kName; }
  int inputs() const noexcept override { return 2; }
  IPluginV3 *clone() noexcept override { return new (std::nothrow) ColorDifferencePlugin(*this); }
  bool takes(DataType type) const noexcept override { return type == DataType::kFLOAT; }

  bool takes(const Dims *shapes) const noexcept override {
    for (int i = 0; i < inputs(); ++i) {
      if (!alike(shapes[i], shapes[0], 4)) return false;
      if (shapes[i].d[1] >= 0 && shapes[i].d[1] != 3)
        return refuse("edgead %s: an input has %lld channels instead of L*, a* and b*", kName, (long long)shapes[i].d[1]);
    }
    return true;
  }

  std::int32_t enqueue(const PluginTensorDesc *tensors, const PluginTensorDesc *, const void *const *in, void *const *out, void *,
                       cudaStream_t stream) noexcept override {
    const Dims &shape = tensors[0].dims;
    const std::int64_t pixels = shape.d[2] * shape.d[3];
    const int status = edgead_cuda_ciede2000_planar(static_cast<const float *>(in[0]), 3 * pixels,
                                                    static_cast<const float *>(in[1]), 3 * pixels, shape.d[0], pixels,
                                                    static_cast<float *>(out[0]), stream);
    return accepted(kName, status) ? 0 : -1;
  }

  const PluginFieldCollection *getFieldsToSerialize() noexcept override { return &collection_; }

 private:
  DimsExprs output(const DimsExprs *given, IExprBuilder &builder) const noexcept override {
    DimsExprs shape = given[0];
    shape.d[1] = builder.constant(1);
    return shape;
  }

  PluginFieldCollection collection_ = {0, nullptr};
};

template <class Operator>
class Creator final : public IPluginCreatorV3One {
 public:
  Creator() noexcept : collection_(Operator().fields(room_)) {
    for (PluginField &field : room_) field.data = nullptr;
  }

  const char *getPluginName() const noexcept override { return Operator::kName; }
  const char *getPluginVersion() const noexcept override { return kVersion; }
  const char *getPluginNamespace() const noexcept override { return kNamespace; }
  const PluginFieldCollection *getFieldNames() noexcept override { return &collection_; }

  // The same at build time, from the attributes of the node, and at run time, from those serialised.
  IPluginV3 *createPlugin(const char *, const PluginFieldCollection *given, TensorRTPhase) noexcept override {
    Operator *plugin = new (std::nothrow) Operator();
    if (plugin && given && plugin->read(*given)) return plugin;
    delete plugin;
    return nullptr;
  }

 private:
  PluginField room_[Operator::kFields + 1];  // an array has at least one
  PluginFieldCollection collection_;
};

Creator<AttentionPlugin> attention;
Creator<ColorDifferencePlugin> color_difference;
IPluginCreatorInterface *const creators[] = {&attention, &color_difference};

#define EDGEAD_TEXT_(x) #x
#define EDGEAD_TEXT(x) EDGEAD_TEXT_(x)

// For hosts that do not call loadLibrary: into the registry of the library that is loaded already.
bool register_creators() {
  for (const char *name : {"libnvinfer.so." EDGEAD_TEXT(NV_TENSORRT_MAJOR), "libtensorrt_rtx.so.1"}) {
    void *const library = dlopen(name, RTLD_LAZY | RTLD_NOLOAD);
    void *const function = library ? dlsym(library, "getPluginRegistry") : nullptr;
    IPluginRegistry *const registry = function ? reinterpret_cast<IPluginRegistry *(*)()>(function)() : nullptr;
    if (!registry) continue;
    for (IPluginCreatorInterface *creator : creators) registry->registerCreator(*creator, kNamespace);
  }
  return true;
}

const bool registered = std::getenv("EDGEAD_REGISTER_PLUGINS") && register_creators();

}  // namespace

#define EDGEAD_EXPORT extern "C" __attribute__((visibility("default")))

// Whose headers these are. Loggers and the registry are laid out in another way in TensorRT 11 than in 10.
EDGEAD_EXPORT std::int32_t edgead_plugins_tensorrt() { return NV_TENSORRT_MAJOR; }

EDGEAD_EXPORT void setLoggerFinder(ILoggerFinder *finder) {
  if (!logger_finder) logger_finder = finder;
}

EDGEAD_EXPORT IPluginCreatorInterface *const *getCreators(std::int32_t &count) {
  count = std::int32_t(sizeof creators / sizeof *creators);
  return creators;
}
