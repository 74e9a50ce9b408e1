package css

import "net/http"

// The error codes that this family answers with (CSS API reference, Error
// Codes).
const (
	codeParameter     = "CSS.0001"
	codeServer        = "CSS.0005"
	codeEmpty         = "CSS.0006"
	codeNoPath        = "CSS.0007"
	codeForbidden     = "CSS.0010"
	codeBusy          = "CSS.0012"
	codeNotFound      = "CSS.0015"
	codeExists        = "CSS.0031"
	codeUnprocessable = "CSS.0040"
	codeQuota         = "CSS.0063"
	codeNoAddress     = "CSS.0064"
	codeMethod        = "CSS.0004"
	codeSubnet        = "CSS.5074"
	codeState         = "CSS.5090"
	codeUnsupported   = "CSS.5140"
	codeVPC           = "CSS.5174"
	codeNoWhitelist   = "CSS.5181"
	codeClosed        = "CSS.5182"
	codeUnconfirmed   = "CSS.9999"
	// codeCredentials is that of the gateway which stands in front of the service.
	codeCredentials = "APIGW.0301"
)

// entry is one error code: the HTTP status it has, and what it says.
type entry struct {
	status           int
	english, chinese string
}

// catalogue has every code that is answered with. The texts are ours: the
// reference's tables word them in more than one way.
var catalogue = map[string]entry{
	codeParameter:     {http.StatusBadRequest, "Invalid parameter.", "参数错误。"},
	codeMethod:        {http.StatusMethodNotAllowed, "The operation is not possible here.", "该资源不支持此操作。"},
	codeServer:        {http.StatusInternalServerError, "A fault of the server. Try again.", "服务器内部错误，请重试。"},
	codeEmpty:         {http.StatusBadRequest, "The request is empty.", "请求为空。"},
	codeNoPath:        {http.StatusNotFound, "The resource does not exist.", "资源不存在。"},
	codeForbidden:     {http.StatusForbidden, "You are not authorized to do this.", "没有执行该操作的权限。"},
	codeBusy:          {http.StatusConflict, "The present state of the resource forbids this.", "资源当前状态不允许该操作。"},
	codeNotFound:      {http.StatusForbidden, "The cluster was not found, or you may not access it.", "集群不存在或无权访问。"},
	codeExists:        {http.StatusConflict, "It exists already.", "对象已存在。"},
	codeUnprocessable: {http.StatusBadRequest, "The request cannot be processed.", "无法处理该请求。"},
	codeQuota:         {http.StatusBadRequest, "The quota of VPC endpoints is used up.", "终端节点配额不足。"},
	codeNoAddress:     {http.StatusBadRequest, "The subnet has no free address.", "子网IP地址不足。"},
	codeSubnet:        {http.StatusBadRequest, "The subnet does not belong to the VPC.", "子网不属于该VPC。"},
	codeState:         {http.StatusBadRequest, "The state of the cluster does not allow this.", "集群当前状态不允许该操作。"},
	codeUnsupported:   {http.StatusPreconditionFailed, "The cluster does not support this.", "集群不支持该操作。"},
	codeVPC:           {http.StatusBadRequest, "The VPC was not found.", "查询VPC失败。"},
	codeNoWhitelist:   {http.StatusBadRequest, "The whitelist is missing.", "白名单缺失。"},
	codeClosed:        {http.StatusBadRequest, "The VPC endpoint service of the cluster is not enabled.", "集群未开启终端节点服务。"},
	codeUnconfirmed:   {http.StatusGatewayTimeout, "The request was not completed in time. Repeat it.", "请求未在规定时间内完成，请重试。"},
	codeCredentials:   {http.StatusUnauthorized, "Incorrect IAM authentication information", "IAM认证信息错误"},
}

// message returns what a code says and, where detail is not empty, what is
// wrong with this request. Details exist in English only.
func message(code, detail string, chinese bool) string {
	e := catalogue[code]
	text := e.english
	if chinese {
		text = e.chinese
	}
	switch {
	case detail == "":
		return text
	case code == codeCredentials: // the gateway's form
		return text + ": " + detail
	case chinese:
		return text + "（" + detail + "）"
	default:
		return text + " (" + detail + ")"
	}
}
