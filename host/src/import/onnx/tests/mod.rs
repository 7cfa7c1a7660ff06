//! Small networks, built message by message, and what becomes of them.

mod damage;
mod elementwise;
mod eval;
mod flatten;
mod folding;
mod layers;
mod layout;
mod messages;
mod refusals;
mod schema;

use prost::Message;

use super::constant::data_type;
use super::kind;
use super::proto::tensor_shape_proto::Dimension;
use super::proto::tensor_shape_proto::dimension::Value as Dim;
use super::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, type_proto,
};
use crate::graph::Graph;
use crate::import::{ImportError, ImportOptions};

/// A network under construction. Its input is `x`, its output `y`.
#[derive(Clone)]
struct Model {
    proto: ModelProto,
}

impl Model {
    /// A network whose input has a batch of any size and these sizes for each sample.
    fn new(sample: &[i64]) -> Self {
        let batch = Dimension {
            value: Some(Dim::DimParam("N".to_owned())),
        };
        let sizes = sample.iter().map(|&size| Dimension {
            value: Some(Dim::DimValue(size)),
        });
        let graph = GraphProto {
            name: "net".to_owned(),
            input: vec![value_info("x", [batch].into_iter().chain(sizes).collect())],
            output: vec![value_info("y", vec![])],
            ..GraphProto::default()
        };
        let model = Model {
            proto: ModelProto {
                ir_version: 8,
                graph: Some(graph),
                ..ModelProto::default()
            },
        };
        model.opset(17)
    }

    fn graph(&mut self) -> &mut GraphProto {
        self.proto.graph.as_mut().unwrap()
    }

    fn opset(mut self, version: i64) -> Self {
        self.proto.opset_import = vec![OperatorSetIdProto {
            domain: String::new(),
            version,
        }];
        self
    }

    fn batch(mut self, value: Option<Dim>) -> Self {
        let input = self.graph().input[0].r#type.as_mut().unwrap();
        input
            .tensor_type
            .as_mut()
            .unwrap()
            .shape
            .as_mut()
            .unwrap()
            .dim[0]
            .value = value;
        self
    }

    fn node(
        mut self,
        op: &str,
        inputs: &[&str],
        output: &str,
        attributes: Vec<AttributeProto>,
    ) -> Self {
        self.graph().node.push(NodeProto {
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            output: vec![output.to_owned()],
            name: format!("{output}_node"),
            op_type: op.to_owned(),
            attribute: attributes,
            ..NodeProto::default()
        });
        self
    }

    fn floats(mut self, name: &str, dims: &[i64], values: &[f32]) -> Self {
        self.graph()
            .initializer
            .push(float_tensor(name, dims, values));
        self
    }

    /// As [`Model::floats`] with small, all different values.
    fn weights(self, name: &str, dims: &[i64]) -> Self {
        let count: i64 = dims.iter().product();
        let values: Vec<f32> = (0..count)
            .map(|i| ((i * 37 % 101) - 50) as f32 / 64.0)
            .collect();
        self.floats(name, dims, &values)
    }

    fn ints(mut self, name: &str, values: &[i64]) -> Self {
        self.graph().initializer.push(int_tensor(name, values));
        self
    }

    fn bytes(&self) -> Vec<u8> {
        self.proto.encode_to_vec()
    }

    fn try_import(&self) -> Result<Graph, ImportError> {
        self.try_import_to(None)
    }

    fn try_import_to(&self, output: Option<&str>) -> Result<Graph, ImportError> {
        let options = ImportOptions {
            output: output.map(str::to_owned),
        };
        super::from_bytes("net.onnx", &self.bytes(), &options)
    }

    fn import(&self) -> Graph {
        self.try_import().unwrap_or_else(|error| panic!("{error}"))
    }

    /// The message with which the network is refused.
    fn refusal(&self) -> String {
        match self.try_import() {
            Ok(graph) => panic!("accepted as {:?}", kinds(&graph)),
            Err(error) => error.to_string(),
        }
    }
}

fn value_info(name: &str, dim: Vec<Dimension>) -> ValueInfoProto {
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            tensor_type: Some(type_proto::Tensor {
                elem_type: data_type::FLOAT,
                shape: Some(TensorShapeProto { dim }),
            }),
        }),
    }
}

fn float_tensor(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: dims.to_vec(),
        data_type: data_type::FLOAT,
        raw_data: values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect(),
        ..TensorProto::default()
    }
}

fn int_tensor(name: &str, values: &[i64]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: vec![values.len() as i64],
        data_type: data_type::INT64,
        int64_data: values.to_vec(),
        ..TensorProto::default()
    }
}

fn attribute(name: &str, r#type: i32) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type,
        ..AttributeProto::default()
    }
}

fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto {
        i,
        ..attribute(name, kind::INT)
    }
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        ints: values.to_vec(),
        ..attribute(name, kind::INTS)
    }
}

fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto {
        f,
        ..attribute(name, kind::FLOAT)
    }
}

fn string(name: &str, s: &str) -> AttributeProto {
    AttributeProto {
        s: s.as_bytes().to_vec(),
        ..attribute(name, kind::STRING)
    }
}

/// The operators of a graph in order.
fn kinds(graph: &Graph) -> Vec<&'static str> {
    graph.nodes.iter().map(|node| node.op.kind()).collect()
}

fn input_shape(graph: &Graph) -> &[usize] {
    &graph.tensors[graph.inputs[0].tensor].shape
}

fn output_shape(graph: &Graph) -> &[usize] {
    &graph.tensors[graph.outputs[0]].shape
}

/// Values 1, 2, ... for an input.
fn counting(graph: &Graph) -> Vec<f32> {
    let count: usize = graph.inputs[0].source_shape.iter().product();
    (1..=count).map(|value| value as f32).collect()
}
