# Answers, a line of JSON for each, what ActiveSupport makes of something:
# a document (its root, its style, and its value with the kind of everything in it) in both formats,
# the singulars of names, and what a body in XML is read as.

require "active_support/all"
require "bigdecimal"
require "json"

# A record as ActiveRecord shows it: in JSON wrapped in its name, in XML not.
class Model
  def initialize(name, fields, typed_nulls)
    @name, @fields, @typed_nulls = name, fields, typed_nulls
  end

  def as_json(options = nil)
    { @name => @fields.as_json(options) }
  end

  def to_xml(options = {})
    nulls = @typed_nulls ? @fields.select { |_, value| value.is_a?(TypedNull) } : {}
    plain = @fields.transform_values { |value| value.is_a?(TypedNull) ? nil : value }
    xml = plain.to_xml({ root: @name }.merge(options))
    nulls.each do |name, null|
      # The older serializer says what type a column has even where it is null.
      xml.sub!(/<#{Regexp.escape(name)} nil="true"\/>/, "<#{name} type=\"#{null.kind}\" nil=\"true\"/>")
    end
    xml
  end
end

TypedNull = Struct.new(:kind) do
  def as_json(_ = nil)
    nil
  end
end

# A null has a type where a record has it as a column.
def build(node, style, column = false)
  kind, value = node
  case kind
  when "nil" then column && style == "typed nulls" && value ? TypedNull.new(value) : nil
  when "integer" then Integer(value)
  when "float" then Float(value)
  when "decimal" then BigDecimal(value)
  when "boolean", "string" then value
  when "symbol" then value.to_sym
  when "time" then Time.at(Rational(value)).utc
  when "date" then Date.new(1970, 1, 1) + value
  when "array" then value.map { |item| build(item, style) }
  when "object" then value.to_h { |name, item| [name, build(item, style)] }
  when "model"
    fields = value[1].to_h { |name, item| [name, build(item, style, true)] }
    Model.new(value[0], fields, style == "typed nulls")
  else raise "no kind #{kind}"
  end
end

def configure(style)
  old = style == "rails 3"
  ActiveSupport::JSON::Encoding.time_precision = old ? 0 : 3
  ActiveSupport::XmlMini::TYPE_NAMES.merge!("Time" => old ? "datetime" : "dateTime")
end

# Exact numbers as JSON has them.
def plain(value)
  case value
  when Hash then value.transform_values { |item| plain(item) }
  when Array then value.map { |item| plain(item) }
  when BigDecimal then value.to_f
  when Date, Time, DateTime then value.to_s
  else value
  end
end

def read(body)
  { read: plain(Hash.from_xml(body)) }
rescue StandardError => error
  { refused: error.class.name }
end

$stdout.sync = true
$stdin.each_line do |line|
  document = JSON.parse(line)
  if document["names"]
    puts JSON.generate(document["names"].map(&:singularize))
    next
  elsif document["body"]
    puts JSON.generate(read(document["body"]))
    next
  end
  configure(document["style"])
  value = build(document["value"], document["style"])
  options = { dasherize: false }
  options[:root] = document["root"] if document["root"]
  xml = value.to_xml(options)
  shown = { json: value.to_json, xml: xml }
  puts JSON.generate(shown.transform_values { |text| [text].pack("m0") })
end
