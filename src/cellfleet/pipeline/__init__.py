"""preprocess → predict → postprocess → measure for one plane or block: functions of arrays and one spec."""
