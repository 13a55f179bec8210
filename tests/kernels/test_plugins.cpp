// The TensorRT plugins as TensorRT uses them: created from attributes, cloned, serialised, created again, and run. Device memory is
// the host's, and the launchers are the emulated ones; what they give is held against the CPU library.
#include <NvInfer.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "edgead/ciede2000.h"
#include "edgead/neighbor_masked_attention.h"

using namespace nvinfer1;

extern "C" IPluginCreatorInterface *const *getCreators(std::int32_t &count);
extern "C" void setLoggerFinder(ILoggerFinder *finder);

namespace {

int failures = 0;

void expect(bool holds, const std::string &what) {
  if (holds) return;
  std::printf("FAILED: %s\n", what.c_str());
  ++failures;
}

struct Log final : ILogger {
  void log(Severity severity, const char *text) noexcept override {
    expect(severity == Severity::kERROR, "only errors are logged");
    last = text;
  }
  std::string last;
} journal;

struct Finder final : ILoggerFinder {
  ILogger *findLogger() override { return &journal; }
} finder;

// Whether something was refused, with these words in the log.
void refused(bool done, const std::string &said, const std::string &what) {
  expect(!done, what + " is refused");
  expect(journal.last.find(said) != std::string::npos, what + ": '" + said + "' is not in '" + journal.last + "'");
  journal.last.clear();
}

using Attributes = std::vector<std::pair<std::string, std::int32_t>>;

const Attributes kGrid = {
    {"num_heads", 2}, {"height", 5}, {"width", 7}, {"neighbor_height", 3}, {"neighbor_width", 5}};
constexpr int kBatch = 2, kTokens = 35, kChannels = 48;

Attributes with(const std::string &name, std::int32_t value) {
  Attributes changed = kGrid;
  for (auto &attribute : changed)
    if (attribute.first == name) attribute.second = value;
  return changed;
}

std::vector<PluginField> fields_of(const Attributes &attributes) {
  std::vector<PluginField> fields;
  for (const auto &[name, value] : attributes) fields.emplace_back(name.c_str(), &value, PluginFieldType::kINT32, 1);
  return fields;
}

IPluginCreatorV3One *creator(const std::string &name) {
  std::int32_t count = 0;
  IPluginCreatorInterface *const *all = getCreators(count);
  for (std::int32_t i = 0; i < count; ++i) {
    auto *found = static_cast<IPluginCreatorV3One *>(all[i]);
    if (found->getPluginName() == name) return found;
  }
  return nullptr;
}

std::unique_ptr<IPluginV3> create(const std::string &name, const std::vector<PluginField> &fields,
                                  TensorRTPhase phase = TensorRTPhase::kBUILD) {
  const PluginFieldCollection collection = {std::int32_t(fields.size()), fields.data()};
  return std::unique_ptr<IPluginV3>(creator(name)->createPlugin("node", &collection, phase));
}

IPluginV3OneBuild *build(IPluginV3 &plugin) {
  return static_cast<IPluginV3OneBuild *>(plugin.getCapabilityInterface(PluginCapabilityType::kBUILD));
}

IPluginV3OneRuntime *runtime(IPluginV3 &plugin) {
  return static_cast<IPluginV3OneRuntime *>(plugin.getCapabilityInterface(PluginCapabilityType::kRUNTIME));
}

PluginTensorDesc tensor(const std::vector<std::int64_t> &sides, DataType type = DataType::kFLOAT,
                        TensorFormat format = TensorFormat::kLINEAR) {
  PluginTensorDesc described{};
  described.dims.nbDims = std::int32_t(sides.size());
  for (std::size_t i = 0; i < sides.size(); ++i) described.dims.d[i] = sides[i];
  described.type = type, described.format = format, described.scale = 1.f;
  return described;
}

// Whether a plugin takes these shapes, when they are configured and when they are set; both have to agree.
bool takes(IPluginV3 &plugin, const std::vector<std::vector<std::int64_t>> &shapes) {
  std::vector<PluginTensorDesc> tensors;
  std::vector<DynamicPluginTensorDesc> dynamic;
  for (const auto &sides : shapes) {
    tensors.push_back(tensor(sides));
    dynamic.emplace_back();
    dynamic.back().desc = tensors.back();
  }
  const auto count = std::int32_t(tensors.size());
  const bool configured = build(plugin)->configurePlugin(dynamic.data(), count, dynamic.data(), 1) == 0;
  const bool set = runtime(plugin)->onShapeChange(tensors.data(), count, tensors.data(), 1) == 0;
  expect(configured == set, "shapes are judged alike at build and run time");
  return set;
}

// Whether the last of some tensors may have this type and format, if the others have the first's.
bool formats(IPluginV3 &plugin, int inputs, DataType others, DataType type, TensorFormat format = TensorFormat::kLINEAR) {
  std::vector<DynamicPluginTensorDesc> tensors(inputs + 1);
  for (auto &each : tensors) each.desc = tensor({1}, others);
  tensors.back().desc = tensor({1}, type, format);
  bool all = true;
  for (int position = 0; position <= inputs; ++position)
    all &= build(plugin)->supportsFormatCombination(position, tensors.data(), inputs, 1);
  return all;
}

void test_creators() {
  std::int32_t count = 0;
  getCreators(count);
  expect(count == 2, "two creators");
  for (const char *name : {"NeighborMaskedAttention", "CIEDE2000"}) {
    IPluginCreatorV3One *const found = creator(name);
    expect(found != nullptr, name);
    expect(!std::strcmp(found->getInterfaceInfo().kind, "PLUGIN CREATOR_V3ONE"), "the kind of creator");
    expect(!std::strcmp(found->getPluginNamespace(), "edgead") && !std::strcmp(found->getPluginVersion(), "1"), "edgead, 1");
  }
  const PluginFieldCollection *fields = creator("NeighborMaskedAttention")->getFieldNames();
  expect(fields->nbFields == std::int32_t(kGrid.size()), "the number of attributes");
  for (std::int32_t i = 0; i < fields->nbFields; ++i)
    expect(fields->fields[i].name == kGrid[i].first && fields->fields[i].type == PluginFieldType::kINT32 &&
               fields->fields[i].length == 1 && !fields->fields[i].data,
           kGrid[i].first);
  expect(creator("CIEDE2000")->getFieldNames()->nbFields == 0, "no attributes");
}

void test_attributes() {
  const std::string name = "NeighborMaskedAttention";
  expect(bool(create(name, fields_of(kGrid))), "good attributes are taken");
  expect(bool(create(name, fields_of(with("neighbor_height", 0)))), "a window without height is taken");
  for (std::size_t left_out = 0; left_out < kGrid.size(); ++left_out) {
    std::vector<PluginField> fields = fields_of(kGrid);
    fields.erase(fields.begin() + std::ptrdiff_t(left_out));
    refused(bool(create(name, fields)), "attribute " + kGrid[left_out].first + " is missing", "none at all");
    fields = fields_of(kGrid);
    fields[left_out].type = PluginFieldType::kFLOAT32;
    refused(bool(create(name, fields)), kGrid[left_out].first + " is not one 32-bit integer", "a float");
    fields = fields_of(kGrid);
    fields[left_out].length = 2;
    refused(bool(create(name, fields)), kGrid[left_out].first + " is not one 32-bit integer", "two numbers");
  }
  refused(bool(create(name, fields_of(with("num_heads", 0)))), "num_heads is not 1 to", "no head");
  refused(bool(create(name, fields_of(with("height", 0)))), "a side of the grid is not 1 to", "no row");
  refused(bool(create(name, fields_of(with("width", 1000)))), "a side of the grid is not 1 to", "a wide grid");
  refused(bool(create(name, fields_of(with("neighbor_width", 2)))), "the window has no centre", "an even window");
  Attributes all = with("neighbor_height", 5);
  all.back().second = 7;
  refused(bool(create(name, fields_of(all))), "leaves a query without a key", "a window over the whole grid");
}

void test_shapes() {
  const auto attention = create("NeighborMaskedAttention", fields_of(kGrid));
  using Shape = std::vector<std::int64_t>;
  const Shape right = {kBatch, kTokens, kChannels};
  expect(takes(*attention, {right, right, right}), "the shapes of the grid");
  expect(takes(*attention, {{-1, kTokens, kChannels}, {-1, kTokens, kChannels}, right}), "a free batch");
  refused(takes(*attention, {right, right}), "2 inputs instead of 3", "two inputs");
  refused(takes(*attention, {right, {kBatch, kTokens}, right}), "2 dimensions instead of 3", "a matrix");
  const Shape fewer = {kBatch, kTokens - 1, kChannels}, more = {kBatch + 1, kTokens, kChannels};
  refused(takes(*attention, {fewer, fewer, fewer}), "34 tokens do not fill the grid of 35", "a token too few");
  refused(takes(*attention, {right, right, more}), "the shapes of its inputs differ", "another batch");
  for (const auto &[channels, said] : {std::pair<int, const char *>{33, "33 channels do not make 2 heads"},
                                       {16, "a head is not 16 to 128 numbers wide"},
                                       {512, "a head is not 16 to 128 numbers wide"}}) {
    const Shape shape = {kBatch, kTokens, channels};
    refused(takes(*attention, {shape, shape, shape}), said, std::to_string(channels) + " channels");
  }
  const auto difference = create("CIEDE2000", {});
  expect(takes(*difference, {{kBatch, 3, 4, 5}, {-1, 3, 4, 5}}), "two images");
  refused(takes(*difference, {{kBatch, 4, 4, 5}, {kBatch, 4, 4, 5}}), "4 channels instead of L*, a* and b*", "four channels");
  refused(takes(*difference, {{kBatch, 3, 4, 5}, {kBatch, 3, 5, 4}}), "the shapes of its inputs differ", "a turned image");
  journal.last.clear();
}

void test_formats() {
  const auto attention = create("NeighborMaskedAttention", fields_of(kGrid)), difference = create("CIEDE2000", {});
  for (const DataType type : {DataType::kFLOAT, DataType::kHALF, DataType::kBF16}) {
    expect(formats(*attention, 3, type, type), "a type of attention");
    expect(!formats(*attention, 3, type, type, TensorFormat::kCHW32), "only the linear format");
    expect(!formats(*attention, 3, type, type == DataType::kHALF ? DataType::kFLOAT : DataType::kHALF), "one type for all");
    DataType out = DataType::kBOOL;
    const DataType in[] = {type, type, type};
    expect(build(*attention)->getOutputDataTypes(&out, 1, in, 3) == 0 && out == type, "the output's type");
  }
  expect(!formats(*attention, 3, DataType::kINT8, DataType::kINT8), "no attention in int8");
  expect(formats(*difference, 2, DataType::kFLOAT, DataType::kFLOAT), "a difference in float");
  expect(!formats(*difference, 2, DataType::kHALF, DataType::kHALF), "no difference in half");
  expect(build(*attention)->getNbOutputs() == 1 && build(*difference)->getNbOutputs() == 1, "one output");
}

// What TensorRT does between a node and its kernel: the plugin is cloned and serialised, made again from that in another process,
// and attached to a context. Whatever it was made from is gone by then.
std::unique_ptr<IPluginV3> travelled(std::unique_ptr<IPluginV3> first) {
  std::unique_ptr<IPluginV3> copy(first->clone());
  first.reset();
  auto *core = static_cast<IPluginV3OneCore *>(copy->getCapabilityInterface(PluginCapabilityType::kCORE));
  const std::string name = core->getPluginName();
  expect(!std::strcmp(core->getPluginNamespace(), "edgead") && !std::strcmp(core->getPluginVersion(), "1"), "a plugin of edgead");
  const PluginFieldCollection *written = runtime(*copy)->getFieldsToSerialize();
  Attributes attributes;
  for (std::int32_t i = 0; i < written->nbFields; ++i) {
    const PluginField &field = written->fields[i];
    attributes.emplace_back(field.name, *static_cast<const std::int32_t *>(field.data));
  }
  expect(attributes == (name == "CIEDE2000" ? Attributes() : kGrid), "the attributes are serialised");
  copy.reset();
  const std::unique_ptr<IPluginV3> again = create(name, fields_of(attributes), TensorRTPhase::kRUNTIME);
  return std::unique_ptr<IPluginV3>(runtime(*again)->attachToContext(nullptr));
}

std::mt19937 source(1);
float uniform(float low, float high) { return low + (high - low) * (float(source() >> 8) * 0x1p-24f); }

template <class Number>
void test_attention(DataType type, std::int32_t number_type, float tolerance) {
  const auto plugin = travelled(create("NeighborMaskedAttention", fields_of(kGrid)));
  constexpr int kCount = kBatch * kTokens * kChannels;
  std::vector<Number> q(kCount), k(kCount), v(kCount), out(kCount), expected(kCount);
  for (auto *each : {&q, &k, &v})
    for (Number &number : *each) number = edgead::from_float<Number>(uniform(-2.f, 2.f));
  const edgead::Attention problem = {kBatch, 2, kChannels / 2, 5, 7, 3, 5};
  expect(edgead_neighbor_masked_attention(q.data(), k.data(), v.data(), expected.data(), number_type, &problem, 1) == 0, "the CPU");
  const PluginTensorDesc whole = tensor({kBatch, kTokens, kChannels}, type), shapes[] = {whole, whole, whole};
  const void *in[] = {q.data(), k.data(), v.data()};
  void *outputs[] = {out.data()};
  expect(runtime(*plugin)->onShapeChange(shapes, 3, &whole, 1) == 0, "the shapes are set");
  expect(runtime(*plugin)->enqueue(shapes, &whole, in, outputs, nullptr, nullptr) == 0, "attention runs");
  float worst = 0.f, largest = 0.f;
  for (int i = 0; i < kCount; ++i) {
    const float difference = std::fabs(edgead::to_float(out[i]) - edgead::to_float(expected[i]));
    worst = difference <= worst ? worst : difference;
    largest = std::fmax(largest, std::fabs(edgead::to_float(expected[i])));
  }
  std::printf("attention, type %d: off by %.1e of %.2f\n", number_type, worst, largest);
  expect(largest > 0.5f && worst <= tolerance, "attention is the CPU's");
}

void test_difference() {
  const auto plugin = travelled(create("CIEDE2000", {}));
  constexpr int kPixels = 37 * 11;
  std::vector<float> first(kBatch * 3 * kPixels), second(first.size()), out(kBatch * kPixels, -1.f), expected(out.size());
  for (auto *each : {&first, &second})
    for (std::size_t i = 0; i < each->size(); ++i)
      (*each)[i] = i / kPixels % 3 ? uniform(-128.f, 127.f) : uniform(0.f, 100.f);
  edgead_ciede2000_planar(first.data(), 3 * kPixels, second.data(), 3 * kPixels, kBatch, kPixels, expected.data(), 1);
  const PluginTensorDesc image = tensor({kBatch, 3, 37, 11}), shapes[] = {image, image}, map = tensor({kBatch, 1, 37, 11});
  const void *in[] = {first.data(), second.data()};
  void *outputs[] = {out.data()};
  expect(runtime(*plugin)->enqueue(shapes, &map, in, outputs, nullptr, nullptr) == 0, "the difference runs");
  expect(!std::memcmp(out.data(), expected.data(), out.size() * sizeof(float)), "the difference is the CPU's, bit for bit");
}

}  // namespace

int main() {
  setLoggerFinder(&finder);
  test_creators();
  test_attributes();
  test_shapes();
  test_formats();
  test_attention<float>(DataType::kFLOAT, edgead::kFloat32, 1e-5f);
  test_attention<edgead::Half>(DataType::kHALF, edgead::kFloat16, 2e-3f);  // two units in the last place, as below
  test_attention<edgead::BFloat16>(DataType::kBF16, edgead::kBFloat16, 1.6e-2f);
  test_difference();
  expect(journal.last.empty(), "an error is left over: " + journal.last);
  std::printf(failures ? "%d failed\n" : "all passed\n", failures);
  return failures ? 1 : 0;
}
